"""Reading the JSON that editors send: bounded, and with nothing in it that cannot be stored."""

import asyncio
import re
from collections.abc import Mapping

import orjson
from starlette.requests import Request

from pouch.base.errors import InvalidInput, PouchError

READ_TIMEOUT_S = 30


class TooMuch(PouchError):
    """More was sent than this address takes."""

    code = "too_much"
    status = 413


async def read_json(request: Request, *, bytes_max: int = 64 * 1024) -> Mapping[str, object]:
    """The JSON object in the body. Raises InvalidInput for anything else, and TooMuch."""
    body = bytearray()
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            async for piece in request.stream():
                body += piece
                if len(body) > bytes_max:
                    raise TooMuch(f"This address reads {bytes_max // 1024:,} kB at most.")
    except TimeoutError:
        raise InvalidInput("The body did not arrive in time.") from None
    return read_object(bytes(body), "The body")


def read_object(text: bytes | str, what: str) -> Mapping[str, object]:
    """A JSON object. Raises InvalidInput for anything else."""
    document = parse(text, what)
    if not isinstance(document, dict):
        raise InvalidInput(f"{what} must be a JSON object.")
    return document


def parse(text: bytes | str, what: str) -> object:
    """Any JSON. Raises InvalidInput for what is none.

    Output that an editor cut may end within an emoji, and its JSON then has one half of a pair, which is no character:
    it becomes the sign for what cannot be read, instead of losing the whole message.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        whole = _ESCAPES.sub(_mended, text.encode() if isinstance(text, str) else text)
    try:
        return orjson.loads(whole)
    except orjson.JSONDecodeError:
        raise InvalidInput(f"{what} is not JSON.") from None


def _mended(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape["half"] else escape[0]


def flag(document: Mapping[str, object], name: str) -> bool | None:
    """True, false or nothing. Raises InvalidInput for another value."""
    value = document.get(name)
    if value is None and name not in document:
        return None
    if not isinstance(value, bool):
        raise InvalidInput(f"{name} must be true or false.", field=name)
    return value


def words(document: Mapping[str, object], name: str, *, length_max: int) -> str | None:
    """A text on one line, cut to its length; None when there is none. Raises InvalidInput for another value."""
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"{name} must be text.", field=name)
    return " ".join(clean(value[: 4 * length_max]).split())[:length_max] or None


def clean(text: str) -> str:
    """The text without control characters but for line ends and tabs: none of them is for people to read."""
    return text.translate(_CONTROLS)


# A backslash that stands for itself, both halves of a pair, or one half alone.
_ESCAPES = re.compile(
    rb"\\\\|\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][\da-fA-F]{2})"
)
_CONTROLS = {code: None for code in [*range(0x20), *range(0x7F, 0xA0)] if chr(code) not in "\n\t"}
