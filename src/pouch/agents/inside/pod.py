"""The first process of each container of a pod: it starts what the worker tells it to, and passes everything on.

It connects to the worker once, with a token that is good once, and ends with that connection: a pod whose worker is
gone stops by itself. Frames go both ways: a stream's number, a kind, a length, the bytes.

    to the pod      x run {argv, env, cwd, ports}   i input   e end of input   t terminate   k kill   f freeze   w thaw
    to the worker   o output   r error output   q ended (its code)
    both            n a connection {stream, name}   d its bytes   c its end
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

HEAD = struct.Struct(">IcI")
PIECE = 65536
PR_SET_DUMPABLE = 4


class Link:
    """The connection to the worker. Whole frames, from any thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reading = connection.makefile("rb")
        self._lock = threading.Lock()

    def send(self, stream: int, kind: bytes, data: bytes = b"") -> None:
        """Send a frame; without the worker there is nothing left to do."""
        try:
            with self._lock:
                self._connection.sendall(HEAD.pack(stream, kind, len(data)) + data)
        except OSError:
            os._exit(1)

    def receive(self) -> "tuple[int, bytes, bytes] | None":
        """The next frame; None when the worker is gone."""
        with contextlib.suppress(OSError):
            head = self._reading.read(HEAD.size)
            if len(head) == HEAD.size:
                stream, kind, size = HEAD.unpack(head)
                return stream, kind, self._reading.read(size)
        return None


class Programs:
    """What runs here: one program at a time, and whatever it leaves behind."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._codes: dict[int, int] = {}
        self._ended = threading.Condition()
        self._connections: dict[int, socket.socket] = {}
        self._next = 0x8000_0000
        threading.Thread(target=self._reap, daemon=True).start()

    def handle(self, stream: int, kind: bytes, data: bytes) -> None:
        """Do what a frame says."""
        process = self._running.get(stream)
        if kind == b"x":
            self._start(stream, json.loads(data))
        elif kind == b"i" and process is not None:
            with contextlib.suppress(OSError, ValueError):
                assert process.stdin is not None
                process.stdin.write(data)
                process.stdin.flush()
        elif kind == b"e" and process is not None:
            with contextlib.suppress(OSError, ValueError):
                assert process.stdin is not None
                process.stdin.close()
        elif kind == b"t" and process is not None:
            _signal(process.pid, signal.SIGTERM)
        elif kind == b"k" and process is not None:
            _signal(process.pid, signal.SIGKILL)
            _signal_others(signal.SIGKILL)
        elif kind == b"f":
            self._signal_all(signal.SIGSTOP)
        elif kind == b"w":
            self._signal_all(signal.SIGCONT)
        elif kind == b"d" and stream in self._connections:
            with contextlib.suppress(OSError):
                self._connections[stream].sendall(data)
        elif kind == b"c" and stream in self._connections:
            with contextlib.suppress(OSError):
                self._connections[stream].shutdown(socket.SHUT_WR)

    def _start(self, stream: int, asked: "dict[str, object]") -> None:
        listeners: list[socket.socket] = []
        try:
            for port, name in dict(asked["ports"]).items():  # type: ignore[call-overload]  # JSON
                listeners.append(self._listen(stream, int(port), str(name)))
            process = subprocess.Popen(
                list(asked["argv"]),  # type: ignore[call-overload]  # JSON
                cwd=str(asked["cwd"]),
                env=dict(asked["env"]),  # type: ignore[call-overload]  # JSON
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            _close(listeners)
            self._link.send(stream, b"r", str(error).encode())
            self._link.send(stream, b"q", b"127")
            return
        self._running[stream] = process
        threading.Thread(target=self._follow, args=(stream, process, listeners), daemon=True).start()

    def _follow(self, stream: int, process: "subprocess.Popen[bytes]", listeners: "list[socket.socket]") -> None:
        readers = [
            threading.Thread(target=self._read, args=(stream, kind, pipe), daemon=True)
            for kind, pipe in ((b"o", process.stdout), (b"r", process.stderr))
        ]
        for reader in readers:
            reader.start()
        with self._ended:
            while process.pid not in self._codes:
                self._ended.wait()
            code = self._codes.pop(process.pid)
        # What it left behind ends with it, as it does where each program has namespaces of its own.
        _signal_others(signal.SIGKILL)
        for reader in readers:
            reader.join(5)
        _close(listeners)
        self._running.pop(stream, None)
        self._link.send(stream, b"q", str(code).encode())

    def _read(self, stream: int, kind: bytes, pipe: "object") -> None:
        with contextlib.suppress(OSError, ValueError):
            while piece := os.read(pipe.fileno(), PIECE):  # type: ignore[attr-defined]  # a pipe
                self._link.send(stream, kind, piece)

    def _reap(self) -> None:
        """Wait for everybody's children: the first process of a container inherits all that are left behind."""
        while True:
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                time.sleep(0.01)
                continue
            with self._ended:
                self._codes[pid] = os.waitstatus_to_exitcode(status)
                self._ended.notify_all()

    def _listen(self, stream: int, port: int, name: str) -> socket.socket:
        server = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._serve, args=(stream, server, name), daemon=True).start()
        return server

    def _serve(self, stream: int, server: socket.socket, name: str) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                self._next += 1
                number = self._next
                self._connections[number] = connection
                self._link.send(number, b"n", json.dumps({"stream": stream, "name": name}).encode())
                threading.Thread(target=self._pump, args=(number, connection), daemon=True).start()

    def _pump(self, number: int, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := connection.recv(PIECE):
                self._link.send(number, b"d", piece)
        self._link.send(number, b"c")

    def _signal_all(self, number: int) -> None:
        for process in list(self._running.values()):
            _signal(process.pid, number)
        _signal_others(number)


def _close(listeners: "list[socket.socket]") -> None:
    """Close them, and wake who waits for connections there."""
    for listener in listeners:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, number)


def _signal_others(number: int) -> None:
    """To every process of the container but this one, which is its first."""
    if os.getpid() == 1:
        with contextlib.suppress(OSError):
            os.kill(-1, number)


def _connected(address: str) -> socket.socket:
    """The worker, at HOST:PORT or at a socket of the node's."""
    if address.startswith("/"):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(address)
        return connection
    host, port = address.rsplit(":", 1)
    connection = socket.create_connection((host.strip("[]"), int(port)), timeout=60)
    connection.settimeout(None)
    return connection


def main() -> int:
    """Connect, and do what is said, until the worker hangs up."""
    # Nothing that runs here may look into this process, though it has the same account.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    connection = _connected(os.environ.pop("POUCH_RELAY"))
    token, container = os.environ.pop("POUCH_TOKEN"), os.environ.pop("POUCH_CONTAINER")
    connection.sendall(json.dumps({"token": token, "container": container}).encode() + b"\n")
    link = Link(connection)
    programs = Programs(link)
    while (frame := link.receive()) is not None:
        programs.handle(*frame)
    return 0


if __name__ == "__main__":
    sys.exit(main())
