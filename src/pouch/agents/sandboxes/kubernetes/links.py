"""The worker's end of what pods connect to: who comes with a token is one container of one run, once.

Nothing that a container says is believed further than its own run: which servers a program may reach is decided here,
by the program that was started, not by what the container asks for.
"""

import asyncio
import contextlib
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from pouch.agents.sandboxes.errors import SandboxFailed
from pouch.agents.sandboxes.types import Ending, EndReason, Output

HEAD = struct.Struct(">IcI")
FRAME_BYTES_MAX = 1024 * 1024
HELLO_TIMEOUT_S = 20
HELLO_BYTES_MAX = 4096
CONNECTIONS_MAX = 64
PIECE = 64 * 1024
WAITING_MAX = 64

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Link:
    """A container that has connected."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._programs: dict[int, PodProcess] = {}
        self._connections: dict[int, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0

    async def run(self) -> None:
        """Pass frames on until the container hangs up."""
        try:
            while True:
                stream, kind, size = HEAD.unpack(await self._reader.readexactly(HEAD.size))
                if size > FRAME_BYTES_MAX:
                    return
                await self._handle(stream, kind, await self._reader.readexactly(size))
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            self.close()

    def close(self) -> None:
        """Hang up. What runs there ends with it."""
        self._writer.close()
        for task in list(self._tasks):
            task.cancel()
        for program in list(self._programs.values()):
            program.ended(-9, "killed")

    async def start(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        folder: str,
        servers: "Mapping[int, tuple[str, Serve]]",
    ) -> "PodProcess":
        """Start a program; `servers` are what it reaches at ports of its loopback. Raises SandboxFailed."""
        if self._writer.is_closing():
            raise SandboxFailed("The pod is not there any more.")
        self._count += 1
        stream = self._count
        ports = {str(port): name for port, (name, _) in servers.items()}
        asked = {"argv": list(argv), "env": dict(environment), "cwd": folder, "ports": ports}
        program = PodProcess(self, stream, dict(servers.values()))
        self._programs[stream] = program
        await self.send(stream, b"x", orjson.dumps(asked))
        return program

    async def send(self, stream: int, kind: bytes, data: bytes = b"") -> None:
        """Send a frame. Does nothing once the container is gone."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write(HEAD.pack(stream, kind, len(data)) + data)
            await self._writer.drain()

    async def _handle(self, stream: int, kind: bytes, data: bytes) -> None:
        program = self._programs.get(stream)
        if kind in {b"o", b"r"} and program is not None:
            await program.said(Output("out" if kind == b"o" else "err", data))
        elif kind == b"q" and program is not None:
            del self._programs[stream]
            program.ended(int(data) if data.lstrip(b"-").isdigit() else 1, "exited")
        elif kind == b"n":
            await self._connect(stream, data)
        elif kind == b"d" and stream in self._connections:
            writer = self._connections[stream]
            with contextlib.suppress(OSError, RuntimeError):
                writer.write(data)
                await writer.drain()
        elif kind == b"c" and stream in self._connections:
            with contextlib.suppress(OSError, RuntimeError):
                self._connections[stream].write_eof()

    async def _connect(self, number: int, data: bytes) -> None:
        """Join a connection inside to a server of ours, which needs the two ends of a real one."""
        try:
            asked = orjson.loads(data)
            program = self._programs.get(asked["stream"])
            serve = program.servers.get(asked["name"]) if program is not None else None
        except (orjson.JSONDecodeError, KeyError, TypeError):
            serve = None
        if serve is None or len(self._connections) >= CONNECTIONS_MAX or number in self._connections:
            await self.send(number, b"c")
            return
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=theirs)
        served = await asyncio.open_connection(sock=ours)
        # Before the next frame is read: it may be the first bytes of this connection.
        self._connections[number] = writer
        task = asyncio.get_running_loop().create_task(self._pass_on(number, reader, writer, serve(*served)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, serving: Awaitable[None]
    ) -> None:
        served = asyncio.ensure_future(serving)
        try:
            while piece := await reader.read(PIECE):
                await self.send(number, b"d", piece)
        except OSError:
            pass
        finally:
            self._connections.pop(number, None)
            await self.send(number, b"c")
            writer.close()
            served.cancel()
            await asyncio.gather(served, return_exceptions=True)


class PodProcess:
    """A program in a container, as `types.Process` wants it."""

    def __init__(self, link: Link, stream: int, servers: Mapping[str, Serve]) -> None:
        self._link = link
        self._stream = stream
        self.servers = servers
        self._pieces: asyncio.Queue[Output | None] = asyncio.Queue(WAITING_MAX)
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._reason: EndReason = "exited"
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None
        self._killing: set[asyncio.Task[None]] = set()
        self.on_end: Callable[[], None] = lambda: None

    def limit(self, output_bytes_max: int, timeout_s: float) -> None:
        """End it when it says more, or runs longer."""
        self._left = output_bytes_max
        self._timer = asyncio.get_running_loop().call_later(timeout_s, self._end_soon, "timed_out")

    async def output(self) -> AsyncIterator[Output]:
        """Everything it says, until it ends."""
        while (piece := await self._pieces.get()) is not None:
            yield piece

    async def send(self, data: bytes) -> None:
        """Write to its standard input."""
        for begin in range(0, len(data), PIECE):
            await self._link.send(self._stream, b"i", data[begin : begin + PIECE])

    async def end_input(self) -> None:
        """Say that nothing more will be written."""
        await self._link.send(self._stream, b"e")

    async def terminate(self) -> None:
        """Send it SIGTERM."""
        await self._link.send(self._stream, b"t")

    async def kill(self) -> None:
        """End it and everything it started."""
        if not self._ending.done():
            await self._kill("killed")
            await asyncio.wait([self._ending])

    async def wait(self) -> Ending:
        """Wait until it has ended."""
        return await asyncio.shield(self._ending)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._ending.done()

    async def said(self, piece: Output) -> None:
        """It said something."""
        self._left -= len(piece.data)
        if self._left < 0:
            self._end_soon("output_limit")
        elif self._reason == "exited":
            await self._pieces.put(piece)

    def ended(self, code: int, reason: EndReason) -> None:
        """It has ended."""
        if self._ending.done():
            return
        if self._timer is not None:
            self._timer.cancel()
        self._ending.set_result(Ending(code, self._reason if self._reason != "exited" else reason))
        while self._pieces.full():
            self._pieces.get_nowait()
        self._pieces.put_nowait(None)
        self.on_end()

    def _end_soon(self, reason: EndReason) -> None:
        if self._reason == "exited" and not self._ending.done():
            task = asyncio.get_running_loop().create_task(self._kill(reason), name="end of a program in a pod")
            self._killing.add(task)
            task.add_done_callback(self._killing.discard)

    async def _kill(self, reason: EndReason) -> None:
        if self._reason == "exited":
            self._reason = reason
        await self._link.send(self._stream, b"k")


@dataclass
class Expected:
    """The containers of one run, as they connect."""

    tokens: dict[str, str]
    links: dict[str, "asyncio.Future[Link]"] = field(default_factory=dict)

    async def link(self, container: str) -> Link:
        """The container, once it has connected."""
        return await asyncio.shield(self.links[container])


class Links:
    """Listens for pods."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._expected: dict[str, tuple[str, asyncio.Future[Link]]] = {}
        self._runs: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        """Listen; the port. Repeats safely. Raises OSError."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=FRAME_BYTES_MAX)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening, and hang up."""
        if self._server is not None:
            self._server.close()
        for run in list(self._runs):
            run.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)

    def expect(self, containers: Sequence[str]) -> Expected:
        """New tokens for containers that will come."""
        loop = asyncio.get_running_loop()
        tokens = {name: secrets.token_urlsafe(32) for name in containers}
        expected = Expected(tokens, {name: loop.create_future() for name in containers})
        for name, token in tokens.items():
            self._expected[token] = (name, expected.links[name])
        return expected

    def forget(self, expected: Expected) -> None:
        """Nobody may come with these tokens any more; who came is hung up on."""
        for name, token in expected.tokens.items():
            self._expected.pop(token, None)
            link = expected.links[name]
            if link.done() and not link.cancelled():
                link.result().close()
            else:
                link.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._runs.add(task)
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                hello = orjson.loads(await reader.readuntil(b"\n"))
            # Taken out: the same token opens nothing a second time.
            name, waiting = self._expected.pop(str(hello["token"]), ("", None))
            if waiting is None or waiting.done() or hello["container"] != name:
                return
            link = Link(reader, writer)
            waiting.set_result(link)
            await link.run()
        except (OSError, TimeoutError, ValueError, KeyError, TypeError, asyncio.IncompleteReadError,
                asyncio.LimitOverrunError, asyncio.CancelledError):  # fmt: skip
            return
        finally:
            self._runs.discard(task)
            writer.close()
