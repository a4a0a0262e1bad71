"""What a caller of the provider is told, in OpenAI's shape: {"error": {message, type, param, code, metadata?}}.

CallError
├── BadRequest            400  the request cannot be understood; `param` names the field
├── BadKey                401  no key, or not a live one
├── NoCredits             402  a budget does not allow it; metadata says which, how much, and where to buy
├── NotInScope            403  the key may not do this
├── UnknownModel          404  ├── NoImages 404  no model here makes images
├── TooSlow               408  the body did not arrive in time
├── AlreadyCalled         409  the Idempotency-Key belongs to another call; metadata names it
├── TooLarge              413  ├── Unreadable 415
├── TooManyFreeCalls      429  ├── TooFast 429  ├── TooManyAtOnce 429
├── Looping               429  a task goes round in circles; metadata says for how many turns
└── UpstreamFailed        502, 503 or 504; nothing was charged
    └── TooLong           400  the conversation does not fit the model's context window
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import orjson


@dataclass
class CallError(Exception):
    """A call that is not answered with a completion."""

    message: str
    param: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    retry_after_s: int | None = None

    status: ClassVar[int] = 400
    type: ClassVar[str] = "invalid_request_error"
    code: ClassVar[str | int | None] = None
    should_retry: ClassVar[bool] = False

    def __str__(self) -> str:
        return self.message

    def body(self) -> bytes:
        """The JSON that the caller gets."""
        error: dict[str, object] = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        if self.metadata:
            error["metadata"] = dict(self.metadata)
        return orjson.dumps({"error": error})

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers beside the body. `x-should-retry` is what OpenAI's SDKs obey."""
        headers = [(b"x-should-retry", b"true" if self.should_retry else b"false")]
        if self.retry_after_s is not None:
            headers.append((b"retry-after", str(self.retry_after_s).encode()))
        return headers


class BadRequest(CallError):
    """The request cannot be understood or asks for what is not offered."""


class BadKey(CallError):
    """There is no key, or it is not a live one."""

    status = 401
    code = "invalid_api_key"


class NoCredits(CallError):
    """A budget does not allow the call."""

    status = 402
    type = "insufficient_credits"
    code = 402


class NotInScope(CallError):
    """The key is live and may not do this."""

    status = 403
    type = "permission_error"
    code = "missing_scope"


class UnknownModel(CallError):
    """No model of that name is on sale."""

    status = 404
    code = "model_not_found"


class NoImages(CallError):
    """Images are asked for, and no model on sale makes any."""

    status = 404
    code = "no_image_models"


class AlreadyCalled(CallError):
    """The Idempotency-Key was used for another call."""

    status = 409
    code = "idempotency_key_in_use"


class TooLarge(CallError):
    """The body is larger than is read."""

    status = 413
    code = "request_too_large"


class Unreadable(CallError):
    """The body is encoded in a way that is not read."""

    status = 415
    code = "unsupported_encoding"


class TooSlow(CallError):
    """The body did not arrive in time. What still comes of it is not waited for."""

    status = 408
    code = "request_timeout"

    def headers(self) -> list[tuple[bytes, bytes]]:
        """As of every error, and the end of the connection."""
        return [*super().headers(), (b"connection", b"close")]


class TooManyFreeCalls(CallError):
    """Free models are limited per person."""

    status = 429
    type = "rate_limit_error"
    code = "free_model_limit"
    should_retry = True


class TooFast(CallError):
    """A person or a task makes more calls in a minute than it may."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    should_retry = True


class TooManyAtOnce(CallError):
    """A person has more calls under way than they may."""

    status = 429
    type = "rate_limit_error"
    code = "too_many_calls_at_once"
    should_retry = True


class Looping(CallError):
    """An agent's task goes round in circles. Asking again at once is what it must not do."""

    status = 429
    type = "rate_limit_error"
    code = "task_looping"


class Busy(CallError):
    """Something of ours does not keep up; nothing was charged."""

    status = 503
    type = "server_error"
    code = "busy"
    should_retry = True


class UpstreamFailed(CallError):
    """The model's server did not answer as it should; nothing was charged."""

    status = 502
    type = "upstream_error"
    code = "upstream_failed"
    should_retry = True


class UpstreamBusy(UpstreamFailed):
    """The model's server has no room right now."""

    status = 503
    code = "upstream_busy"


class UpstreamSilent(UpstreamFailed):
    """The model's server did not answer in time."""

    status = 504
    code = "upstream_timeout"


class TooLong(UpstreamFailed):
    """The conversation does not fit the model's context window. Clients shorten it and ask again, see `overflow`."""

    status = 400
    type = "invalid_request_error"
    code = "context_length_exceeded"
    should_retry = False
