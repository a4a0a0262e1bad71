"""The network between Pouch and the card processor: a real server that passes requests on, or does not."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

_KEY = re.compile(rb"idempotency-key: ([^\r\n]+)", re.IGNORECASE)
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class FarEnd:
    """`trouble`: "hang" never answers, and nothing arrives. "cut" passes the request on and loses the answer.

    With `answers` set, that many requests are answered and the rest are cut. `hold` stops one request on its way.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self.url = ""
        self.trouble: str | None = None
        self.answers: int | None = None
        self.keys: list[str] = []
        """The idempotency keys that were sent, in order."""
        self.heads: list[str] = []
        """The request lines and headers that were sent, in order."""
        self.changes: tuple[str, bytes, bytes] | None = None
        """Of answers to requests whose head begins so, what is replaced by something as long."""
        self.held = asyncio.Event()
        """The request that was to be held is here."""
        self._hold: tuple[str, bool] | None = None

    @classmethod
    @asynccontextmanager
    async def before(cls, target: str) -> AsyncIterator["FarEnd"]:
        """Stand in front of a server."""
        far_end = cls(target)
        server = await asyncio.start_server(far_end._serve, "127.0.0.1", 0)
        far_end.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{urlsplit(target).path}"
        async with server:
            yield far_end

    def hold(self, beginning: str, *, is_passed_on: bool) -> None:
        """Keep each request whose head begins so: before it is passed on, or its answer. Whoever sent it waits."""
        self._hold = beginning, is_passed_on
        self.held.clear()

    def release(self) -> None:
        """Hold nothing any more."""
        self._hold = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await _message(reader):
                self.heads.append(request.partition(b"\r\n\r\n")[0].decode("latin-1"))
                self.keys += [key.decode() for key in _KEY.findall(request)]
                beginning, is_passed_on = self._hold or ("", True)
                is_held = bool(beginning) and self.heads[-1].startswith(beginning)
                if self.trouble == "hang" or (is_held and not is_passed_on):
                    self.held.set()
                    await reader.read()
                    return
                answer = await self._pass_on(request)
                if self.changes and self.heads[-1].startswith(self.changes[0]):
                    answer = answer.replace(*self.changes[1:])
                if is_held:
                    self.held.set()
                    await reader.read()
                    return
                if self._loses():
                    return
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    def _loses(self) -> bool:
        if self.answers is not None:
            self.answers -= 1
            return self.answers < 0
        return self.trouble == "cut"

    async def _pass_on(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(request)
            await writer.drain()
            return await _message(reader)
        finally:
            writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = _LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")
