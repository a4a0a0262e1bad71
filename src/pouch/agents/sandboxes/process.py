"""A program inside a sandbox of this machine, seen from outside."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from pouch.agents.sandboxes.types import Ending, EndReason, Output

PIECE = 64 * 1024
WAITING_BYTES_MAX = 1024 * 1024
"""So much waits to be read from us; then the program waits."""
CLOSE_TIMEOUT_S = 5
"""How long the pipes may stay open after the program's end: nothing is left inside that could hold them."""

Act = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Handles:
    """How a program is reached that runs in namespaces of its own."""

    terminate: Act
    kill: Act
    """Ends it and everything it started."""
    ended: Act
    """Called once, when it is over."""


class HostProcess:
    """What keeps a sandboxed program on this machine, and its pipes."""

    def __init__(
        self, process: asyncio.subprocess.Process, handles: Handles, output_bytes_max: int, timeout_s: float
    ) -> None:
        self._process = process
        self._handles = handles
        self._left = output_bytes_max
        self._reason: EndReason = "exited"
        self._pieces: asyncio.Queue[Output | None] = asyncio.Queue()
        self._waiting_bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._over = asyncio.get_running_loop().create_task(self._watch(timeout_s), name="sandboxed program")

    async def output(self) -> AsyncIterator[Output]:
        """Everything it says, until it ends."""
        while (piece := await self._pieces.get()) is not None:
            self._waiting_bytes -= len(piece.data)
            if self._waiting_bytes <= WAITING_BYTES_MAX:
                self._has_room.set()
            yield piece

    async def send(self, data: bytes) -> None:
        """Write to its standard input."""
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    async def end_input(self) -> None:
        """Say that nothing more will be written."""
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._process.stdin.close()

    async def terminate(self) -> None:
        """Send it SIGTERM."""
        await self._handles.terminate()

    async def kill(self) -> None:
        """End it and everything it started."""
        if not self._over.done():
            await self._kill("killed")
        await asyncio.wait([self._over])

    async def wait(self) -> Ending:
        """Wait until it has ended. Its output must be read, or be little."""
        await asyncio.shield(self._over)
        return self._over.result()

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._over.done()

    async def _kill(self, reason: EndReason) -> None:
        if self._reason == "exited":
            self._reason = reason
        # Nobody may read any more, and pipes must come to their end.
        self._has_room.set()
        await self._handles.kill()

    async def _watch(self, timeout_s: float) -> Ending:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        reading = asyncio.gather(self._read("out", self._process.stdout), self._read("err", self._process.stderr))
        try:
            try:
                async with asyncio.timeout(timeout_s):
                    code = await self._process.wait()
            except TimeoutError:
                await self._kill("timed_out")
                code = await self._process.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await asyncio.shield(reading)
        except asyncio.CancelledError:
            await self._kill("killed")
            raise
        finally:
            reading.cancel()
            await self._handles.ended()
            self._pieces.put_nowait(None)
        # 128 and the signal stand for a program that was ended by one.
        return Ending(128 - code if code > 128 else code, self._reason)

    async def _read(self, stream: Literal["out", "err"], pipe: asyncio.StreamReader) -> None:
        while piece := await pipe.read(PIECE):
            self._left -= len(piece)
            if self._left < 0:
                if self._reason == "exited":
                    await self._kill("output_limit")
                continue
            self._waiting_bytes += len(piece)
            self._pieces.put_nowait(Output(stream, piece))
            if self._waiting_bytes > WAITING_BYTES_MAX and self._reason == "exited":
                self._has_room.clear()
                await self._has_room.wait()


def children_of(pid: int) -> list[int]:
    """The processes that a process started, as far as they still run."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int(stat.read_text(errors="replace").rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def descendants_of(pid: int) -> list[int]:
    """A process and all below it, parents first."""
    found = [pid]
    for each in found:
        found.extend(child for child in children_of(each) if child not in found)
    return found


def read_init_pid(info: bytes) -> int:
    """The first process inside, of what bubblewrap wrote to --info-fd; 0 when it wrote nothing."""
    try:
        document = orjson.loads(info)
    except orjson.JSONDecodeError:
        return 0
    pid = document.get("child-pid") if isinstance(document, dict) else None
    return pid if isinstance(pid, int) else 0
