"""Reading a request body: bounded in size and time, and never compressed."""

import asyncio

from pouch.gateway.answers import Receive, Scope
from pouch.gateway.errors import TooLarge, TooSlow, Unreadable

BODY_BYTES_MAX = 32 * 1024 * 1024


class ClientGone(Exception):
    """The caller left before the whole body had arrived."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """The value of a header; the last one when there are several."""
    value: bytes | None = None
    for key, text in scope["headers"]:
        if key == name:
            value = text
    return value


async def read_request_body(scope: Scope, receive: Receive, timeout_s: float) -> bytes:
    """The whole body. Raises TooLarge, TooSlow, Unreadable for a compressed one, and ClientGone."""
    if (header(scope, b"content-encoding") or b"identity") != b"identity":
        # A small compressed body may be a huge one: nobody needs it here, so it is not read at all.
        raise Unreadable("Send the body without Content-Encoding.")
    length = header(scope, b"content-length")
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
