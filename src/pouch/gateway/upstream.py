"""How we talk to the servers that run models: one answer read whole, or one read in pieces.

Behind this small interface are connections of our own (`wires`), and pyreqwest where a proxy lies between (`proxied`).
docs/adr/0008-gateway-http.md says why.
"""

import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

from pouch.catalog.types import Upstream
from pouch.gateway.errors import UpstreamFailed
from pouch.gateway.proxied import ProxiedClient, is_proxied
from pouch.gateway.wires import Address, Wires

SILENCE_MAX_S = 300
"""How long an upstream may send nothing: before its first byte, and between two pieces."""
ANSWER_BYTES_MAX = 64 * 1024 * 1024
PIECE_BYTES_MAX = 1024 * 1024
"""How much is unpacked at once of an answer that was compressed though nobody asked for it."""

_PORTS = {"http": 80, "https": 443}
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class Source(Protocol):
    """An answer as a connection gives it. Reading raises UpstreamFailed, or UpstreamSilent when nothing comes."""

    @property
    def status(self) -> int:
        """The answer's status."""
        ...

    def header(self, name: bytes) -> str | None:
        """A header; `name` in lower case."""
        ...

    async def read(self) -> bytes | None:
        """What has come of the body, as soon as something has; None at its end."""
        ...

    async def leave(self, *, is_done: bool) -> None:
        """Give the connection back, or drop it so that the server stops."""
        ...


class Answer:
    """The head of an upstream's answer, and its body in pieces."""

    def __init__(self, source: Source) -> None:
        self.status = source.status
        self.retry_after = source.header(b"retry-after")
        self.is_event_stream = (source.header(b"content-type") or "").lower().startswith("text/event-stream")
        packing = (source.header(b"content-encoding") or "identity").lower()
        self._read = source.read if packing == "identity" else Unpacked(source, packing).read

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises UpstreamFailed when the connection breaks, UpstreamSilent when it stalls."""
        while (piece := await self._read()) is not None:
            yield piece

    async def whole(self, most: int = ANSWER_BYTES_MAX) -> bytes:
        """The whole body. Raises as `pieces`, and UpstreamFailed above `most` bytes."""
        pieces: list[bytes] = []
        size = 0
        while (piece := await self._read()) is not None:
            size += len(piece)
            if size > most:
                raise UpstreamFailed("The model's server answered more than is read.")
            pieces.append(piece)
        return b"".join(pieces)


class Unpacked:
    """The body of an answer that came compressed, a bounded piece at a time."""

    def __init__(self, source: Source, packing: str) -> None:
        if packing not in {"gzip", "x-gzip", "deflate"}:
            raise UpstreamFailed("The model's server compressed its answer in a way that nobody asked for.")
        self._source = source
        self._unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._packed = b""

    async def read(self) -> bytes | None:
        """The next piece; None at the end."""
        while True:
            if not self._packed:
                packed = await self._source.read()
                if packed is None:
                    if not self._unpacker.eof:
                        raise _unreadable()
                    return None
                self._packed = packed
            try:
                piece = self._unpacker.decompress(self._packed, PIECE_BYTES_MAX)
            except zlib.error:
                raise _unreadable() from None
            self._packed = self._unpacker.unconsumed_tail
            if piece:
                return piece


def _unreadable() -> UpstreamFailed:
    return UpstreamFailed("The model's server broke off in the middle of its answer.")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an upstream's chat completions are, and what the head of every request to it says."""

    url: str
    address: Address
    head: bytes
    is_proxied: bool


class Upstreams:
    """Calls upstreams over kept connections. Use it as an async context manager for the process's life."""

    def __init__(self, key_of: Callable[[Upstream], str | None], *, silence_max_s: float = SILENCE_MAX_S) -> None:
        self._key_of = key_of
        self._wires = Wires(silence_max_s=silence_max_s)
        self._proxied = ProxiedClient(silence_max_s=silence_max_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._wires.close()
        await self._proxied.close()

    def chat(self, upstream: Upstream, body: bytes) -> "Asked":
        """Ask for a chat completion: enter what this gives for the answer's head; leaving it stops the upstream."""
        return Asked(self, upstream, body)

    async def ask(self, upstream: Upstream, body: bytes) -> Source:
        """Send the request and wait for the answer's head."""
        place, key = _place(upstream.base_url), self._key_of(upstream)
        if place.is_proxied:
            headers = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "Pouch"}
            if key:
                headers["authorization"] = f"Bearer {key}"
            return await self._proxied.ask(place.url, headers, body)
        authorization = _authorization(key) if key else b""
        request = b"%bcontent-length: %d\r\n%b\r\n%b" % (place.head, len(body), authorization, body)
        return await self._wires.ask(place.address, request)


class Asked:
    """A request on its way.

    Entering raises UpstreamFailed when the server cannot be reached, UpstreamSilent when no answer begins in time.
    """

    __slots__ = ("_body", "_source", "_upstream", "_upstreams")

    def __init__(self, upstreams: Upstreams, upstream: Upstream, body: bytes) -> None:
        self._upstreams = upstreams
        self._upstream = upstream
        self._body = body

    async def __aenter__(self) -> Answer:
        self._source = await self._upstreams.ask(self._upstream, self._body)
        try:
            return Answer(self._source)
        except UpstreamFailed:
            await self._source.leave(is_done=False)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._source.leave(is_done=kind is None)


@lru_cache
def _place(base_url: str) -> _Place:
    url = f"{base_url}/chat/completions"
    parts = urlsplit(url)
    host = parts.hostname or ""
    address = Address(host, parts.port or _PORTS[parts.scheme], is_tls=parts.scheme == "https")
    head = (
        f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nuser-agent: Pouch\r\n"
        "content-type: application/json\r\naccept-encoding: identity\r\n"
    )
    # A proxy of the environment is for the outside; this machine's own servers are reached directly.
    return _Place(url, address, head.encode(), not _is_here(host) and is_proxied(parts.scheme, host))


@lru_cache
def _authorization(key: str) -> bytes:
    if not key.isascii() or not key.isprintable():
        raise UpstreamFailed("This model is not set up rightly here; the operator must look. Nothing was charged.")
    return f"authorization: Bearer {key}\r\n".encode()


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
