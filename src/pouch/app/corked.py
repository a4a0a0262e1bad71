"""Answers leave in one piece: what a request writes in one turn of the event loop becomes one write to its connection.

uvicorn writes the head of an answer and then its body, and uvloop hands each write to the kernel at once: two system
calls here, two reads at the other end. Together they are one of each, and the first event of a stream leaves with the
head.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

KEPT_MAX = 16_384
"""Bytes. A larger piece leaves at once, so that a writer who never pauses still learns when the reader is slow."""


class Corked(asyncio.Transport):
    """A connection that keeps what is written until the loop's next turn. What it does not say itself, it passes on."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._kept: list[bytes] = []
        self._kept_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send this at the end of the turn, or at once when it is much."""
        if len(data) > KEPT_MAX:
            self._send()
            self._transport.write(data)
            return
        if not self._kept:
            self._loop.call_soon(self._send)
        self._kept.append(bytes(data))
        self._kept_bytes += len(data)
        if self._kept_bytes > KEPT_MAX:
            self._send()

    def _send(self) -> None:
        kept, self._kept, self._kept_bytes = self._kept, [], 0
        # Who left in the meantime gets nothing, and a transport that is closed refuses to be written to.
        if kept and not self._transport.is_closing():
            self._transport.write(kept[0] if len(kept) == 1 else b"".join(kept))

    def close(self) -> None:
        """Send what is kept and close."""
        self._send()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._transport.is_closing()

    def abort(self) -> None:
        """Close at once; what is kept is lost."""
        self._kept, self._kept_bytes = [], 0
        self._transport.abort()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """What is known of the connection."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Take nothing from the other end."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take what comes again."""
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        """Whether what comes is taken."""
        return self._transport.is_reading()

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Whom what comes is told."""
        return self._transport.get_protocol()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Tell somebody else what comes."""
        self._transport.set_protocol(protocol)


class CorkedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol over a corked connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """Begin with a connection."""
        super().connection_made(Corked(transport, self.loop))
