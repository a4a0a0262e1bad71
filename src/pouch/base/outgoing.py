"""One POST to an address that a person named: checked, to the address that was checked, without redirects."""

import asyncio
import contextlib
import ssl
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from pouch.base.errors import InvalidInput
from pouch.base.outside import public_address

TIMEOUT_S = 15
ADDRESS_CHARACTERS_MAX = 1_000
HEAD_BYTES_MAX = 16 * 1024


class NotDelivered(Exception):
    """The far end did not take it; the text says why."""


def check_url(url: str, private_hosts: Collection[str] = ()) -> str:
    """An https address without a password; http only for hosts the operator lets be private. Raises InvalidInput."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidInput("This address cannot be read.", field="url") from None
    host = (parts.hostname or "").lower()
    is_private = host in private_hosts
    if (
        len(url) > ADDRESS_CHARACTERS_MAX
        or not url.isascii()
        or any(letter <= " " or letter == "\x7f" for letter in url)
    ):
        raise InvalidInput("This address cannot be read.", field="url")
    if not host or (parts.scheme != "https" and not (is_private and parts.scheme == "http")):
        raise InvalidInput("Write an address that begins with https://.", field="url")
    if parts.username is not None or parts.fragment:
        raise InvalidInput("Leave name, password and fragment out of the address.", field="url")
    if port is not None and port != 443 and not is_private:
        raise InvalidInput("Only port 443 is reached.", field="url")
    return url


async def post(url: str, body: bytes, headers: Mapping[str, str], *, private_hosts: Collection[str] = ()) -> int:
    """Post a body; the status of the answer, whose body is not read. Raises NotDelivered and InvalidInput."""
    parts = urlsplit(check_url(url, private_hosts))
    host, is_tls = (parts.hostname or "").lower(), parts.scheme == "https"
    port = parts.port or (443 if is_tls else 80)
    address = await public_address(host, port, private_hosts=private_hosts)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    shown = host if parts.port is None else f"{host}:{parts.port}"
    head = [f"POST {target} HTTP/1.1", f"host: {shown}", f"content-length: {len(body)}", "connection: close"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    request = "\r\n".join([*head, "", ""]).encode("ascii") + body
    try:
        async with asyncio.timeout(TIMEOUT_S):
            tls = ssl.create_default_context() if is_tls else None
            reader, writer = await asyncio.open_connection(
                address, port, ssl=tls, server_hostname=host if is_tls else None, limit=HEAD_BYTES_MAX
            )
            try:
                writer.write(request)
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError, ValueError) as error:
        raise NotDelivered(f"{host} could not be reached ({type(error).__name__}).") from error
    version, _, rest = line.partition(b" ")
    status = rest[:3]
    if not version.startswith(b"HTTP/1.") or not status.isdigit():
        raise NotDelivered(f"{host} did not answer in HTTP.")
    return int(status)
