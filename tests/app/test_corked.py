"""What leaves in one piece, and what must not be kept back by it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from pouch.app.corked import Corked, CorkedProtocol
from support.serving import serving

pytestmark = pytest.mark.anyio
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
ASK = b"GET / HTTP/1.1\r\nhost: pouch\r\n\r\n"


@asynccontextmanager
async def asked(
    answer: Callable[[Send], Awaitable[None]],
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which one request was sent to a server that gives this answer."""

    async def application(_scope: Message, _receive: object, send: Send) -> None:
        await answer(send)

    async with serving(application, CorkedProtocol) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        writer.write(ASK)
        try:
            yield reader, writer
        finally:
            writer.close()


def head(**headers: str) -> Message:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": 200, "headers": pairs}


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_the_head_and_the_body_of_an_answer_leave_together() -> None:
    async def answer(send: Send) -> None:
        await send(head(**{"content-length": "5"}))
        await send(body(b"hello"))

    async with asked(answer) as (reader, _):
        first = await reader.read(65_536)
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert first.endswith(b"\r\n\r\nhello")


async def test_a_piece_of_a_stream_does_not_wait_for_the_next() -> None:
    go_on = asyncio.Event()

    async def answer(send: Send) -> None:
        await send(head())
        await send(body(b"first", more=True))
        await go_on.wait()
        await send(body(b"second"))

    async with asked(answer) as (reader, _):
        assert (await reader.readuntil(b"first\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        go_on.set()
        assert await reader.readuntil(b"0\r\n\r\n") == b"6\r\nsecond\r\n0\r\n\r\n"


async def test_what_was_written_before_a_close_is_still_sent() -> None:
    async def answer(send: Send) -> None:
        await send(head(**{"content-length": "5", "connection": "close"}))
        await send(body(b"hello"))

    async with asked(answer) as (reader, _):
        assert (await reader.read()).endswith(b"\r\n\r\nhello")


async def test_a_long_answer_waits_for_a_reader_that_is_slow() -> None:
    """The server stops writing when its buffers are full, and every byte arrives in order once they are read."""
    pieces = [bytes([65 + number % 26]) * 100_000 for number in range(200)]
    sent: list[int] = []

    async def answer(send: Send) -> None:
        await send(head(**{"content-length": str(sum(map(len, pieces)))}))
        for number, piece in enumerate(pieces):
            await send(body(piece, more=number < len(pieces) - 1))
            sent.append(number)

    async with asked(answer) as (reader, _):
        await reader.readuntil(b"\r\n\r\n")
        # Time to write all, were it not to wait: it would be a few milliseconds.
        await asyncio.sleep(0.2)
        assert len(sent) < len(pieces)
        assert await reader.readexactly(sum(map(len, pieces))) == b"".join(pieces)


async def test_a_caller_who_leaves_before_what_was_kept_is_sent_is_no_error() -> None:
    """The connection is gone by the loop's next turn: there is nobody to send to, and nothing went wrong."""
    loop = asyncio.get_running_loop()
    gone, errors = asyncio.Event(), list[dict[str, Any]]()

    class Leaving(asyncio.Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvloop calls it
            self.corked = Corked(transport, loop)

        def data_received(self, _data: bytes) -> None:
            self.corked.abort()
            self.corked.write(b"too late")

        def connection_lost(self, _error: Exception | None) -> None:
            loop.call_soon(gone.set)

    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: errors.append(context))
    server = await loop.create_server(Leaving, "127.0.0.1", 0)
    try:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(ASK)
        async with asyncio.timeout(10):
            await gone.wait()
        writer.close()
    finally:
        server.close()
        loop.set_exception_handler(before)
    assert errors == []
