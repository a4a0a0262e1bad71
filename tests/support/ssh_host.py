"""A host of git repositories over ssh: it knows one public key, and runs git's own program for who has it."""

import contextlib
import shlex
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import paramiko  # type: ignore[import-untyped]  # it has no types


@dataclass
class SshHost:
    """Serves every bare repository of a folder to who has the key."""

    port: int
    host_key: paramiko.PKey
    allowed: list[str] = field(default_factory=list)
    """Public keys, as in authorized_keys, of who may come in."""
    seen: list[str] = field(default_factory=list)
    """What clients did."""

    def url(self, name: str) -> str:
        return f"ssh://git@localhost:{self.port}/{name}"

    @property
    def another_line(self) -> str:
        """The same with a key that the host does not have."""
        return f"{self.line.rpartition(' ')[0]} {paramiko.ECDSAKey.generate().get_base64()}"

    @property
    def line(self) -> str:
        """The host's key as known_hosts has it."""
        return f"[localhost]:{self.port} {self.host_key.get_name()} {self.host_key.get_base64()}"


@contextmanager
def ssh_host(folder: Path) -> Iterator[SshHost]:
    """Serve the repositories of a folder on loopback, under the name localhost."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = SshHost(listener.getsockname()[1], paramiko.ECDSAKey.generate())
        transports: list[paramiko.Transport] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                transport = paramiko.Transport(connection)
                transport.add_server_key(host.host_key)
                transports.append(transport)
                transport.start_server(event=threading.Event(), server=_Server(host, folder))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield host
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            for transport in transports:
                transport.close()
            thread.join()


class _Server(paramiko.ServerInterface):  # type: ignore[misc]  # the same
    """One connection."""

    def __init__(self, host: SshHost, folder: Path) -> None:
        self._host = host
        self._folder = folder

    def get_allowed_auths(self, username: str) -> str:
        del username
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        shown = f"{key.get_name()} {key.get_base64()}"
        is_known = any(each.startswith(shown) for each in self._host.allowed)
        self._host.seen.append(f"{username} {'comes in' if is_known else 'is refused'}")
        return int(paramiko.AUTH_SUCCESSFUL if is_known else paramiko.AUTH_FAILED)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        del chanid
        refused = paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        return int(paramiko.OPEN_SUCCEEDED if kind == "session" else refused)

    def check_channel_env_request(self, channel: paramiko.Channel, name: bytes, value: bytes) -> bool:
        del channel, name, value
        return True

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        words = shlex.split(command.decode())
        self._host.seen.append(" ".join(words))
        if words[0] != "git-upload-pack":
            return False
        threading.Thread(target=self._upload, args=(channel, words[1]), daemon=True).start()
        return True

    def _upload(self, channel: paramiko.Channel, name: str) -> None:
        path = self._folder / name.lstrip("/")
        words = ["git", "-c", "safe.directory=*", "upload-pack", str(path)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
            assert process.stdout is not None
            feeding = threading.Thread(target=_feed, args=(channel, process.stdin), daemon=True)
            feeding.start()
            with contextlib.suppress(OSError):
                while piece := process.stdout.read(65536):
                    channel.sendall(piece)
                channel.send_exit_status(process.wait())
            channel.close()
            feeding.join()


def _feed(channel: paramiko.Channel, sink: IO[bytes]) -> None:
    with contextlib.suppress(OSError), sink:
        while piece := channel.recv(65536):
            sink.write(piece)
