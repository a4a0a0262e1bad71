"""Ports of the sandbox's own loopback that lead to the sockets the host put there, and the program that uses them.

forward.py [--listen PORT SOCKET]… -- PROGRAM [ARGUMENT]…
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

BACKLOG = 64
PIECE = 65536


def listen(port: int, path: str) -> None:
    """Take connections on a port in the background, each led to the socket."""
    server = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    threading.Thread(target=_serve, args=(server, path), daemon=True).start()


def _serve(server: socket.socket, path: str) -> None:
    while True:
        inner, _ = server.accept()
        outer = socket.socket(socket.AF_UNIX)
        try:
            outer.connect(path)
        except OSError:
            inner.close()
            outer.close()
            continue
        for source, sink in ((inner, outer), (outer, inner)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def run(argv: Sequence[str], environment: Mapping[str, str], *, hears: bool = True) -> int:
    """Run a program, pass SIGTERM on to it, and give its code, with 128 and the signal for one that was ended."""
    # Many programs read a standard input that is no terminal to its end before they begin.
    process = subprocess.Popen(argv, env=environment, stdin=None if hears else subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGTERM))
    code = process.wait()
    return code if code >= 0 else 128 - code


def main(arguments: list[str]) -> int:
    """Listen, then run."""
    while arguments[0] == "--listen":
        listen(int(arguments[1]), arguments[2])
        arguments = arguments[3:]
    assert arguments[0] == "--"
    return run(arguments[1:], os.environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
