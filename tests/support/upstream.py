"""An upstream that does what a test tells it: a real HTTP server, down to the bytes."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

Script = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request that reached the upstream, and the wire to answer on."""

    headers: dict[str, str]
    body: dict[str, Any]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, document: object, status: int = 200, headers: str = "") -> None:
        """A whole JSON answer."""
        body = document if isinstance(document, bytes) else orjson.dumps(document)
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
        await self.raw(head.encode() + body)

    async def begin_stream(self) -> None:
        await self.raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")

    async def piece(self, data: bytes) -> None:
        """One piece of a chunked body."""
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def event(self, document: object) -> None:
        await self.piece(b"data: " + (document if isinstance(document, bytes) else orjson.dumps(document)) + b"\n\n")

    async def end_stream(self) -> None:
        await self.raw(b"0\r\n\r\n")

    async def stream(self, documents: Iterable[object]) -> None:
        """A whole stream."""
        await self.begin_stream()
        for document in documents:
            await self.event(document)
        await self.end_stream()

    def reset(self) -> None:
        """Break the connection off."""
        self.writer.transport.abort()

    def close(self) -> None:
        """End the connection in order, whether or not the answer was whole."""
        self.writer.close()

    async def until_gone(self) -> None:
        """Wait until the other side has closed the connection."""
        while await self.reader.read(65536):
            pass


@dataclass
class FakeUpstream:
    """Listens on loopback; `script` answers each request."""

    url: str
    script: Script
    seen: list[dict[str, Any]] = field(default_factory=list)
    """The bodies that arrived."""
    connections: int = 0


@asynccontextmanager
async def fake_upstream(tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeUpstream]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        upstream.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode().split("\r\n")[1:-2]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = orjson.loads(await reader.readexactly(int(headers.get("content-length", "0"))))
                upstream.seen.append(body)
                await upstream.script(Exchange(headers, body, reader, writer))
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            tasks.discard(task)
            writer.close()

    async def hello(exchange: Exchange) -> None:
        await exchange.answer(completion("Hello"))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    upstream = FakeUpstream(f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1", hello)
    try:
        yield upstream
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def usage(prompt: int, output: int, **more: object) -> dict[str, object]:
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output, **more}


def completion(text: str, spent: dict[str, object] | None = None) -> dict[str, object]:
    message = {"role": "assistant", "content": text}
    document: dict[str, object] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "up",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    return document | ({"usage": spent} if spent is not None else {"usage": usage(10, 5)})


def chunk(delta: dict[str, object], finish: str | None = None, **more: object) -> dict[str, object]:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": choices, **more}


def usage_chunk(spent: dict[str, object]) -> dict[str, object]:
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [], "usage": spent}


def words_of(count: int) -> list[object]:
    """A stream of so many words, its end and its usage."""
    words: list[object] = [chunk({"content": f"word{index} "}) for index in range(count)]
    return [*words, chunk({}, "stop"), usage_chunk(usage(10, count)), b"[DONE]"]
