"""What is written back: JSON bodies, event streams, usage with its cost."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

import orjson

from pouch.base.ids import show_id
from pouch.base.money import Money
from pouch.gateway.errors import CallError
from pouch.gateway.settlement import Charged, Settlement

# The shapes of ASGI messages are open by its specification.
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Scope: TypeAlias = MutableMapping[str, Any]
Headers: TypeAlias = list[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


async def send_json(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Answer with a JSON body."""
    head = [_JSON, (b"content-length", b"%d" % len(body)), (b"x-content-type-options", b"nosniff"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: CallError, headers: Headers) -> None:
    """Answer with an error in OpenAI's shape."""
    await send_json(send, error.status, error.body(), [*error.headers(), *headers])


async def start_stream(send: Send, headers: Headers) -> None:
    """Begin an event stream."""
    await send({"type": "http.response.start", "status": 200, "headers": [*_STREAM, *headers]})


def generation_headers(settlement: Settlement) -> Headers:
    """The id under which the call can be looked up."""
    return [(b"x-generation-id", show_id("gen", settlement.id).encode())]


def usage_with_cost(usage: Mapping[str, object] | None, charged: Charged) -> bytes:
    """The upstream's usage, or ours in its shape, with what was charged in US dollars, exact to nine places. As JSON.

    It is written after the charge, so it must not fail: usage nested deeper than can be written is replaced.
    """
    cost = orjson.Fragment(Money(charged.charged_nanos).decimal())
    counts = charged.counts
    note = {"max_tokens_lowered": charged.lowered.note()} if charged.lowered is not None else {}
    if usage is not None and not charged.is_estimated:
        told = {**usage, "cost": cost, **note}
        if counts.cache_write_5m:
            # Upstreams say it in two places; Roo Code reads this one.
            told.setdefault("cache_creation_input_tokens", counts.cache_write_5m)
        with contextlib.suppress(orjson.JSONEncodeError):
            return orjson.dumps(told)
    return orjson.dumps(
        {
            "prompt_tokens": counts.input_total,
            "completion_tokens": counts.output_total,
            "total_tokens": counts.input_total + counts.output_total,
            "cost": cost,
            "is_estimated": charged.is_estimated,
            **note,
        }
    )


def with_usage(document: bytes, usage: bytes) -> bytes:
    """A JSON object that is not empty, with its usage added."""
    return b'%b,"usage":%b}' % (document[:-1], usage)
