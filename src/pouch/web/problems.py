"""From an exception to the words, the status and the machine-readable form of a failure."""

from dataclasses import dataclass
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from pouch.base.errors import InvalidInput, PouchError, TooManyRequests, Unavailable, UnderWay
from pouch.base.languages import later, say

_TITLES = {
    400: later("That could not be read"),
    401: later("Sign in first"),
    403: later("This is not possible here"),
    404: later("There is no such page"),
    405: later("This address cannot do that"),
    409: later("That has changed in the meantime"),
    413: later("That is too much at once"),
    422: later("This was asked before with other content"),
    429: later("Too many tries"),
    500: later("This page could not be drawn"),
    503: later("Not answering right now"),
}
_TEXTS = {
    404: later("The address may be mistyped, or what was here is gone."),
    405: later("Follow a link or press a button to get here."),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, for people and for programs. `error_id` is set when the fault is ours and was logged."""

    status: int
    code: str
    title: str
    text: str
    headers: dict[str, str]
    field: str | None = None
    error_id: str | None = None


def problem_of(error: Exception, *, error_id: str | None = None) -> Problem:
    """Describe an error. Nothing of an unforeseen one is told but its number."""
    match error:
        case PouchError():
            return _foreseen(error)
        case HTTPException(status_code=status):
            text = say(_TEXTS[status]) if status in _TEXTS else f"{HTTPStatus(status).phrase}."
            return Problem(status, HTTPStatus(status).name.lower(), _title(status), text, dict(error.headers or {}))
        case _:
            return Problem(500, "internal_error", _title(500), say("The fault is ours."), {}, error_id=error_id)


def is_for_programs(path: str) -> bool:
    """Whether this address is an API, whose errors are JSON."""
    return path.startswith(("/api/", "/v1/", "/proxy/", "/webhooks/", "/trpc/"))


def json_of(problem: Problem, path: str) -> JSONResponse:
    """The OpenAI error shape under the provider's prefixes, problem JSON (RFC 9457) under the others."""
    if path.startswith(("/v1/", "/proxy/")):
        kind = "server_error" if problem.status >= 500 else "invalid_request_error"
        error = {"message": problem.text, "type": kind, "code": problem.code, "param": problem.field}
        return JSONResponse({"error": error}, problem.status, problem.headers)
    body: dict[str, str | int] = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.text,
        "code": problem.code,
    }
    body |= {name: value for name, value in (("field", problem.field), ("error_id", problem.error_id)) if value}
    return JSONResponse(body, problem.status, problem.headers, media_type="application/problem+json")


def _foreseen(error: PouchError) -> Problem:
    headers = {}
    if isinstance(error, TooManyRequests | Unavailable | UnderWay):
        headers["retry-after"] = str(error.retry_after_s)
    field = error.field if isinstance(error, InvalidInput) else None
    return Problem(error.status, error.code, _title(error.status), error.message, headers, field)


def _title(status: int) -> str:
    return say(_TITLES[status]) if status in _TITLES else HTTPStatus(status).phrase
