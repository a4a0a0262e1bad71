"""A role of Pouch as `up` sees it: it answers /readyz (serve), ends on SIGTERM, and ends when `up` is gone."""

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from pouch.up.leash import end_with_up

NAME = sys.argv[1]


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    end_with_up()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    told = Path(os.environ["STAND_INS"]) / NAME
    if os.environ.get("REFUSING") == NAME:
        sys.exit(2)
    if NAME == "serve":
        server = HTTPServer(("127.0.0.1", int(os.environ["POUCH_PORT"])), Ready)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    told.with_suffix(".new").write_text(str(os.getpid()))
    told.with_suffix(".new").rename(told)
    while True:
        signal.pause()


main()
