"""Reading a request body: bounded in size and time, and never compressed."""

import asyncio
from collections.abc import Mapping

from pouch.gateway.answers import Receive
from pouch.gateway.errors import TooLarge, TooSlow, Unreadable

BODY_BYTES_MAX = 32 * 1024 * 1024


class ClientGone(Exception):
    """The caller left before the whole body had arrived."""


async def read_request_body(headers: Mapping[bytes, bytes], receive: Receive, timeout_s: float) -> bytes:
    """The whole body. Raises TooLarge, TooSlow, Unreadable for a compressed one, and ClientGone."""
    if headers.get(b"content-encoding", b"identity") != b"identity":
        # A small compressed body may be a huge one: nobody needs it here, so it is not read at all.
        raise Unreadable("Send the body without Content-Encoding.")
    length = headers.get(b"content-length")
    if length is not None and length.isdigit() and int(length) > BODY_BYTES_MAX:
        raise _too_large()
    try:
        async with asyncio.timeout(timeout_s):
            return await _whole(receive)
    except TimeoutError:
        raise TooSlow(f"The body did not arrive within {timeout_s:g} s.") from None


async def _whole(receive: Receive) -> bytes:
    message = await _next(receive)
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    pieces, size = [body], len(body)
    while message.get("more_body"):
        message = await _next(receive)
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > BODY_BYTES_MAX:
            raise _too_large()
    return b"".join(pieces)


async def _next(receive: Receive) -> dict[str, bytes]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return dict(message)


def _too_large() -> TooLarge:
    return TooLarge(f"The body is larger than {BODY_BYTES_MAX // 1024 // 1024} MB.")
