"""Reading what a program posts: JSON, or the raw bytes that a signature covers."""

import asyncio
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from pouch.base.errors import InvalidInput

JSON_BYTES_MAX = 64 * 1024
JSON_READ_TIMEOUT_S = 10


class Body(BaseModel):
    """The content of a request; a name that is not in it is refused, so that a misspelt one does not pass silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


M = TypeVar("M", bound=Body)


async def read_json(request: Request, kind: type[M]) -> M:
    """Read a JSON object; an empty body is an empty object.

    Raises InvalidInput, naming the first field that is wrong, and when the body is of another kind, too long or too
    slow.
    """
    content_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise InvalidInput("This address takes JSON: send Content-Type: application/json.")
    try:
        async with asyncio.timeout(JSON_READ_TIMEOUT_S):
            body = await request.body()
    except TimeoutError:
        raise InvalidInput("The request did not arrive in time.") from None
    if len(body) > JSON_BYTES_MAX:
        raise InvalidInput(f"More than {JSON_BYTES_MAX // 1024} kB was sent; this address reads no more than that.")
    try:
        return kind.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(_sentence(field, first["type"], first["msg"]), field=field or None) from None


async def read_raw(request: Request, most: int) -> bytes | None:
    """Read the bytes as they came, as a signature covers them; None as soon as there are more than `most`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def _sentence(field: str, kind: str, message: str) -> str:
    match kind:
        case "json_invalid":
            return "This is not JSON."
        case "extra_forbidden":
            return f"{field} is not known here."
        case "missing":
            return f"{field} is missing."
        case _:
            return f"{field or 'The content'}: {message.removeprefix('Value error, ')}."
