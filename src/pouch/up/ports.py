"""The port that `serve` listens on, before and after it does."""

import asyncio
import errno
import socket

from pouch.settings import Settings, SettingsError

ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- recognised here, not bound
ANSWER_TIMEOUT_S = 5


def check_port(settings: Settings) -> None:
    """See whether `serve` will be able to listen. Raises SettingsError that names the setting to change."""
    where = f"{settings.host}:{settings.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise SettingsError(f"POUCH_HOST is {settings.host!r}, which is no address of this machine.") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(f"Port {where} is taken. Set POUCH_PORT to another one, or 0 for any.") from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise SettingsError(f"POUCH_HOST is {settings.host!r}, which is no address of this machine.") from error
        if error.errno == errno.EACCES:
            raise SettingsError(f"Port {where} needs more rights. Set POUCH_PORT to 1024 or more.") from error
        raise


async def answers_ready(settings: Settings) -> bool:
    """Whether GET /readyz answers 200 right now."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(ANY.get(settings.host, settings.host), settings.port)
            try:
                writer.write(f"GET /readyz HTTP/1.1\r\nHost: {_host(settings)}\r\nConnection: close\r\n\r\n".encode())
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return False


def _host(settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{host}:{settings.port}"
