"""Reading what a form posts, and the address a person wanted before signing in."""

import asyncio
from urllib.parse import parse_qsl

from starlette.requests import Request

from pouch.base.errors import InvalidInput
from pouch.base.languages import say

FORM_BYTES_MAX = 64 * 1024
FORM_FIELDS_MAX = 100
FORM_READ_TIMEOUT_S = 10
NEXT_LENGTH_MAX = 2000


async def read_form(request: Request) -> dict[str, str]:
    """Read a urlencoded form. A field that comes twice keeps its last value; a repeated call answers the same.

    Raises InvalidInput when the body is of another kind, is not UTF-8, has too many fields or comes too slowly. The
    size is limited before this, by `security.Security`.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidInput(say("This address takes a form."))
    try:
        async with asyncio.timeout(FORM_READ_TIMEOUT_S):
            body = await request.body()
    except TimeoutError:
        raise InvalidInput(say("The form did not arrive in time.")) from None
    return _fields(body)


def _fields(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=FORM_FIELDS_MAX,
        )
    except ValueError:  # UnicodeDecodeError is one, too
        raise InvalidInput(say("The form could not be read.")) from None
    if any("\x00" in text for pair in pairs for text in pair):
        # Postgres stores no such character, and no keyboard makes one.
        raise InvalidInput(say("The form could not be read."))
    return dict(pairs)


def safe_next(text: str | None) -> str:
    r"""Where to go after signing in: `text` when it is a path of this site, else "/".

    Browsers read "//host", "/\host" and "/<tab>/host" as addresses of another site, so all of these are refused.
    """
    if not text or len(text) > NEXT_LENGTH_MAX or not text.startswith("/") or text.startswith("//"):
        return "/"
    if "\\" in text or any(ord(letter) <= 0x20 or ord(letter) == 0x7F for letter in text):
        return "/"
    return text
