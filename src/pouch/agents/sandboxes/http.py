"""Read one request that comes out of a sandbox, strictly: what is not plain HTTP/1.1 is not passed on."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

HEAD_BYTES_MAX = 32 * 1024
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_TARGET = re.compile(r"[!-~]+", re.ASCII)
_REASONS = {400: "Bad Request", 403: "Forbidden", 413: "Content Too Large", 429: "Too Many Requests"}


class Broken(Exception):
    """It is no HTTP that we read."""


class TooLarge(Exception):
    """It is larger than it may be."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request. Names of headers are in lower case; a name that came twice broke it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


async def read_head(reader: asyncio.StreamReader) -> Request | None:
    """The line and the headers; None when the connection ended before it began. Raises Broken."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise Broken("The request ended too early.") from None
        return None
    except asyncio.LimitOverrunError:
        raise Broken("The head of the request is too long.") from None
    if len(raw) > HEAD_BYTES_MAX:
        raise Broken("The head of the request is too long.")
    first, *lines = raw[:-4].decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in {"HTTP/1.1", "HTTP/1.0"} or not _TARGET.fullmatch(words[1]):
        raise Broken("The request's first line cannot be read.")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name) or name.lower() in headers or {"\n", "\r", "\0"} & set(value):
            raise Broken("The request's headers cannot be read.")
        headers[name.lower()] = value.strip(" \t")
    return Request(words[0], words[1], headers)


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body_bytes_max: int
) -> Request | None:
    """A whole request. Raises Broken, TooLarge."""
    head = await read_head(reader)
    if head is None:
        return None
    if head.headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    coding, length = head.headers.get("transfer-encoding"), head.headers.get("content-length")
    if coding is not None:
        if coding.lower() != "chunked" or length is not None:
            raise Broken("The request's length is said twice or in a way that is not read here.")
        body = await _chunks(reader, body_bytes_max)
    else:
        if length is not None and not (length.isascii() and length.isdigit() and len(length) < 12):
            raise Broken("The request's length cannot be read.")
        size = int(length or 0)
        if size > body_bytes_max:
            raise TooLarge
        body = await reader.readexactly(size)
    return Request(head.method, head.target, head.headers, body)


def refusal(status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    """An answer of our own, after which the connection is closed."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Refused')}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n{lines}\r\n"
    )
    return head.encode() + body


async def _chunks(reader: asyncio.StreamReader, bytes_max: int) -> bytes:
    body = bytearray()
    while True:
        try:
            line = await reader.readuntil(b"\r\n")
            size = int(line.partition(b";")[0].strip(), 16)
        except (ValueError, asyncio.LimitOverrunError):
            raise Broken("A piece of the request cannot be read.") from None
        if size < 0 or len(body) + size > bytes_max:
            raise TooLarge
        if size == 0:
            while (await reader.readuntil(b"\r\n")) != b"\r\n":
                pass
            return bytes(body)
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise Broken("A piece of the request cannot be read.")
