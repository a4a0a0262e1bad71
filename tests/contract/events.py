"""A webhook that takes everything and keeps it, whatever the test is doing meanwhile."""

import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

PATIENCE_S = 30


class Events:
    """Posts that came, each with its signature. As a context manager it listens on a free port of loopback."""

    def __init__(self) -> None:
        self._posts: queue.Queue[tuple[bytes, str]] = queue.Queue()
        posts = self._posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                posts.put((self.rfile.read(length), self.headers.get("stripe-signature", "")))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next(self) -> tuple[bytes, str]:
        """The oldest one that was not taken yet: body and signature. Waits for it."""
        return self._posts.get(timeout=PATIENCE_S)
