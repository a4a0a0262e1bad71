"""A host of git repositories over https: git's own server behind a real TLS listener."""

import base64
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Response = tuple[int, dict[str, str], bytes]
BACKEND = Path("/usr/lib/git-core/git-http-backend")


@dataclass
class GitHost:
    """Serves every bare repository of a folder."""

    port: int
    certificate: Path
    password: str = ""
    """When set, who comes without it is refused."""
    redirect_to: str = ""
    lets_push: Callable[[str], bool] | None = None
    """Says whether somebody with this password may push; without it nobody may."""
    elsewhere: Callable[[str, str, Mapping[str, str], bytes], Response | None] | None = None
    """Answers what is not about git: method, path, headers, body."""
    was_pushed: Callable[[str], object] | None = None
    """Hears of the repository that was pushed to."""
    seen: list[str] = field(default_factory=list)
    passwords: set[str] = field(default_factory=set)
    """With which somebody came."""

    def url(self, name: str) -> str:
        return f"https://localhost:{self.port}/{name}"


@contextmanager
def git_host(folder: Path) -> Iterator[GitHost]:
    """Serve the repositories of a folder on loopback, under the name localhost."""
    certificate = folder / "certificate.pem"
    _make_certificate(certificate)

    class Handler(_Handler):
        """The handler of this host."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    host = GitHost(server.server_address[1], certificate)
    Handler.host, Handler.folder = host, folder
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    host: GitHost
    folder: Path
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.host.seen.append(f"{self.command} {self.path}")
        if self.host.redirect_to:
            self._end(302, b"", {"location": self.host.redirect_to + self.path})
            return
        given = base64.b64encode(f"x-access-token:{self.host.password}".encode()).decode()
        if self.host.password and self.headers.get("authorization") != f"Basic {given}":
            self._end(401, b"", {"www-authenticate": "Basic"})
            return
        path, _, query = self.path.partition("?")
        if self.host.elsewhere is not None and ".git/" not in path:
            found = self.host.elsewhere(self.command, self.path, dict(self.headers.items()), self._body())
            status, headers, content = found or (404, {}, b"")
            self._end(status, content, headers)
            return
        shown = (
            base64.b64decode(self.headers.get("authorization", "").removeprefix("Basic ")).decode().partition(":")[2]
        )
        self.host.passwords |= {shown} - {""}
        if "git-receive-pack" in self.path and not (self.host.lets_push is not None and self.host.lets_push(shown)):
            self._end(403 if shown else 401, b"", {"www-authenticate": "Basic"})
            return
        body = self._body()
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "http.receivepack",
            "GIT_CONFIG_VALUE_1": "true",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("git-protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        said = subprocess.run([BACKEND], env=environment, input=body, capture_output=True, check=True).stdout
        head, _, answer = said.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        if path.endswith("/git-receive-pack") and self.host.was_pushed is not None:
            self.host.was_pushed(path.removeprefix("/").removesuffix("/git-receive-pack"))
        self._end(int(headers.pop("Status", "200").split()[0]), answer, headers)

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", "0")))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _end(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _make_certificate(path: Path) -> None:
    key = path.with_suffix(".key")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    # Not of an authority: some clients refuse those of a server.
    words += [
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(key),
        "-out",
        str(path),
    ]
    subprocess.run(words, capture_output=True, check=True)
    path.write_text(path.read_text() + key.read_text())
    key.unlink()
