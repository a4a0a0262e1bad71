"""A caller down to the bytes: it sends what it likes, when it likes, and leaves as it likes."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson

from support.gateway import Gateway

REQUEST = {"model": "up/paid", "messages": [{"role": "user", "content": "Say something"}], "max_tokens": 100}
PATH = b"POST /v1/chat/completions HTTP/1.1\r\nhost: pouch.example\r\n"


@dataclass(frozen=True)
class Caller:
    """One connection to the gateway."""

    gateway: Gateway
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def head(self, *lines: str) -> bytes:
        """The head of a call with the caller's key."""
        given = "".join(f"{line}\r\n" for line in (f"authorization: Bearer {self.gateway.secret}", *lines))
        return PATH + given.encode() + b"\r\n"

    async def ask(self, **body: object) -> None:
        """A whole request."""
        content = orjson.dumps(REQUEST | body)
        await self.send(self.head(f"content-length: {len(content)}") + content)

    async def answer(self) -> bytes:
        """Everything until the gateway closes the connection."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def until(self, text: bytes) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readuntil(text)

    def leave(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Leave without a word: the kernel answers with RST."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@asynccontextmanager
async def connected(gateway: Gateway, *, reads: bool = True) -> AsyncIterator[Caller]:
    """A connection; without `reads` its kernel takes as little as it can and we take nothing."""
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    wire = socket.socket()
    if not reads:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.setblocking(False)
    await asyncio.get_running_loop().sock_connect(wire, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=wire, limit=2**20 if reads else 1)
    if not reads:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport has it
    try:
        yield Caller(gateway, reader, writer)
    finally:
        writer.close()


def status_of(answer: bytes) -> str:
    """Status and code, as the table says them."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ")[1].decode()
    # What the server itself answers to bytes that are no HTTP is a plain line.
    code = orjson.loads(body).get("error", {}).get("code") if body.startswith(b"{") else None
    return f"{status} {code}" if code else status
