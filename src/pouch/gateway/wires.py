"""HTTP/1.1 to the servers that run models, over kept connections of our own.

httptools parses; one request at a time is on a connection. A client library costs more here than everything else of a
call together (docs/benchmarks.md), because it serves every caller's needs; this one serves a POST and its answer.

- What has come waits here until it is read; when 256 kB wait, the server is not read from.
- A server that sends nothing for too long is given up, before its first byte as in the middle of its answer.
- A request is never sent twice: on a kept connection that the server closes in that moment it fails.
- A connection is kept when its answer has ended in order, the server lets us, and nothing came that nobody asked for.
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass, field

import httptools

from pouch.gateway.errors import UpstreamBusy, UpstreamFailed, UpstreamSilent

CONNECT_TIMEOUT_S = 10
CONNECTIONS_MAX = 4000
IDLE_MAX_S = 30
"""A connection that was not used for so long may be closed by the server at any moment."""
TAIL_MAX_S = 5
"""How long the last bytes of an answer may take after everything in it that matters was read."""
HEAD_BYTES_MAX = 64 * 1024
KEPT_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    port: int
    is_tls: bool


@dataclass(slots=True)
class _Answering:
    """One answer while it comes."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    has_head: bool = False
    is_whole: bool = False
    may_be_kept: bool = False
    """Whether the connection can carry another request after it."""


class Wires:
    """The connections to all servers."""

    def __init__(self, *, silence_max_s: float) -> None:
        self._silence_max_s = silence_max_s
        self._idle: dict[Address, deque[Wire]] = {}
        self._open: set[Wire] = set()
        self._tls = ssl.create_default_context()

    async def ask(self, address: Address, request: bytes) -> "Wire":
        """Send a request and wait for the head of its answer; `leave` the wire after.

        Raises UpstreamFailed when the server cannot be reached or breaks off, UpstreamSilent when it does not answer,
        UpstreamBusy when there are as many connections as there may be.
        """
        wire = self._kept(address) or await self._connect(address)
        try:
            wire.ask(request, self._silence_max_s)
            await wire.head()
        except BaseException:
            wire.stop()
            raise
        return wire

    def close(self) -> None:
        """End every connection."""
        for wire in list(self._open):
            wire.stop()

    def _kept(self, address: Address) -> "Wire | None":
        idle = self._idle.get(address)
        while idle:
            wire = idle.pop()
            if not wire.is_closed and not wire.is_stale:
                return wire
            wire.stop()
        return None

    async def _connect(self, address: Address) -> "Wire":
        if len(self._open) >= CONNECTIONS_MAX:
            raise UpstreamBusy("Too many calls are under way. Nothing was charged.", retry_after_s=1)
        tls = self._tls if address.is_tls else None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, wire = await asyncio.get_running_loop().create_connection(
                    lambda: Wire(self, address), address.host, address.port, ssl=tls
                )
        except (OSError, UnicodeError):
            raise UpstreamFailed("The model's server cannot be reached.") from None
        return wire

    def opened(self, wire: "Wire") -> None:
        """A connection stands."""
        self._open.add(wire)

    def closed(self, wire: "Wire") -> None:
        """A connection is gone."""
        self._open.discard(wire)

    def keep(self, wire: "Wire") -> None:
        """A connection can be used again."""
        idle = self._idle.setdefault(wire.address, deque())
        while idle and (idle[0].is_closed or idle[0].is_stale):
            idle.popleft().stop()
        idle.append(wire)


class Wire(asyncio.Protocol):
    """One connection, and the answer that comes on it."""

    def __init__(self, wires: Wires, address: Address) -> None:
        self.address = address
        self._wires = wires
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answer: _Answering | None = None
        self._is_ending = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_paused = False
        self._failed: UpstreamFailed | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ asking

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent on it any more."""
        return self._transport is None or self._transport.is_closing()

    @property
    def is_stale(self) -> bool:
        """Whether it was idle for too long."""
        return self._loop.time() - self._heard_at > IDLE_MAX_S

    @property
    def status(self) -> int:
        """The answer's status."""
        return self._answer.status if self._answer is not None else 0

    def header(self, name: bytes) -> str | None:
        """A header of the answer; `name` in lower case."""
        value = self._answer.headers.get(name) if self._answer is not None else None
        return value.decode("latin-1") if value is not None else None

    def ask(self, request: bytes, silence_max_s: float) -> None:
        """Send a request."""
        assert self._transport is not None
        self._answer = _Answering()
        self._is_ending = False
        self._head_size = 0
        self._silence_max_s = silence_max_s
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request)
        self._heard_at = self._loop.time()
        self._timer = self._loop.call_at(self._heard_at + silence_max_s, self._look)

    async def head(self) -> None:
        """Wait for the status and the headers."""
        while self._answer is None or not self._answer.has_head:
            await self._more()

    async def read(self) -> bytes | None:
        """What has come of the body, as soon as something has; None at its end."""
        assert self._answer is not None
        while not self._pieces:
            if self._answer.is_whole:
                return None
            await self._more()
        pieces, self._pieces, self._size = self._pieces, [], 0
        if self._is_paused:
            self._is_paused = False
            self._heard_at = self._loop.time()
            if self._transport is not None:
                self._transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def leave(self, *, is_done: bool) -> None:
        """Give the connection back when all that matters was read, else drop it so that the server stops."""
        if is_done:
            self._end()
        else:
            self.stop()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.is_closed or self._is_paused or self._failed is not None or self._answer is None:
            self.stop()
        elif self._answer.is_whole:
            self._keep()
        else:
            self._is_ending = True
            self._pieces.clear()
            self._timer = self._loop.call_later(TAIL_MAX_S, self.stop)

    def stop(self) -> None:
        """Drop the connection, so that the server notices."""
        if self._timer is not None:
            self._timer.cancel()
        self._answer = None
        if self._transport is not None:
            self._transport.abort()

    def _keep(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._answer is not None and self._answer.may_be_kept and not self.is_closed:
            self._answer = None
            self._pieces.clear()
            self._heard_at = self._loop.time()
            self._wires.keep(self)
        else:
            self.stop()

    # ---------------------------------------------------------------- hearing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop once the connection stands, TLS included."""
        # uvloop's transports are of no class of asyncio's.
        self._transport = transport  # type: ignore[assignment]
        self._wires.opened(self)

    def data_received(self, data: bytes) -> None:
        """Called by the loop with what came."""
        answer = self._answer
        if answer is None:
            # Nobody asked: whatever this is, it must not become the answer to the next request.
            self.stop()
            return
        self._heard_at = self._loop.time()
        if not answer.has_head:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(_broken(answer))
            return
        if not answer.has_head and self._head_size > HEAD_BYTES_MAX:
            self._fail(_broken(answer))
        elif self._is_ending:
            self._pieces.clear()
            if answer.is_whole:
                self._keep()
        elif self._waiter is not None and (self._pieces or answer.is_whole or answer.has_head):
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop when the connection is gone: `error` unless the server closed it in order."""
        self._transport = None
        self._wires.closed(self)
        answer = self._answer
        if answer is None or answer.is_whole:
            return
        if error is None and answer.has_head and _ends_with_the_connection(answer):
            answer.is_whole = True
            self._wake()
        else:
            self._fail(_broken(answer))

    def on_message_begin(self) -> None:
        """Called by the parser: another message begins."""
        if self._answer is not None and self._answer.is_whole:
            self._answer.may_be_kept = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser for each header, and for each trailer after the body."""
        if self._answer is not None and not self._answer.has_head:
            self._answer.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Called by the parser at the end of a head. That of an interim answer (1xx) says nothing."""
        answer = self._answer
        if answer is None or answer.has_head:
            return
        answer.status = self._parser.get_status_code()
        if answer.status >= 200:
            answer.has_head = True
        else:
            answer.headers.clear()

    def on_body(self, body: bytes) -> None:
        """Called by the parser for each piece of the body."""
        if self._answer is None or self._answer.is_whole:
            return
        self._pieces.append(body)
        self._size += len(body)
        if self._size > KEPT_BYTES_MAX and not self._is_paused and not self._is_ending and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """Called by the parser at the end of an answer."""
        answer = self._answer
        if answer is not None and answer.has_head and not answer.is_whole:
            answer.is_whole = True
            answer.may_be_kept = self._parser.should_keep_alive()

    async def _more(self) -> None:
        if self._failed is not None:
            raise self._failed
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, failed: UpstreamFailed) -> None:
        if self._failed is None:
            self._failed = failed
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def _look(self) -> None:
        now = self._loop.time()
        if self._is_paused:
            self._heard_at = now
        if now - self._heard_at < self._silence_max_s:
            self._timer = self._loop.call_at(self._heard_at + self._silence_max_s, self._look)
        elif self._answer is not None and self._answer.has_head:
            self._fail(UpstreamSilent("The model's server fell silent in the middle of its answer."))
        else:
            self._fail(UpstreamSilent("The model's server did not answer in time."))


def _broken(answer: _Answering) -> UpstreamFailed:
    when = "in the middle of its answer" if answer.has_head else "before it answered"
    return UpstreamFailed(f"The model's server broke off {when}.")


def _ends_with_the_connection(answer: _Answering) -> bool:
    return b"content-length" not in answer.headers and b"transfer-encoding" not in answer.headers
