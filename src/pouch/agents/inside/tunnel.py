"""A way to one host through the sandbox's proxy, on standard input and output: what ssh connects with.

tunnel.py HOST PORT
"""

import os
import socket
import sys
import threading

PROXY = ("127.0.0.1", 3128)
PIECE = 65536
HEAD_MAX = 4096


def main(host: str, port: str) -> int:
    """Connect, then pass everything on, both ways."""
    with socket.create_connection(PROXY) as there:
        there.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            # One byte at a time: what comes behind the head is not ours.
            piece = there.recv(1)
            if not piece or len(head) > HEAD_MAX:
                return 1
            head += piece
        if head.split(b" ")[1:2] != [b"200"]:
            sys.stderr.write(f"The way to {host} is closed.\n")
            return 1
        threading.Thread(target=_send, args=(there,), daemon=True).start()
        while piece := there.recv(PIECE):
            _write(piece)
    return 0


def _send(there: socket.socket) -> None:
    while piece := os.read(0, PIECE):
        there.sendall(piece)
    there.shutdown(socket.SHUT_WR)


def _write(piece: bytes) -> None:
    while piece:
        piece = piece[os.write(1, piece) :]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
