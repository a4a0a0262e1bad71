"""What editors tell of their tasks, read: an event, or all messages of a task at once. Nothing here touches a database.

The editor's own formats are wide and grow; what is not known is left out, what has the wrong type is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from math import isfinite
from typing import Literal

import orjson

from pouch.base.errors import InvalidInput
from pouch.base.money import Money
from pouch.roo.bodies import clean, words

TEXT_LENGTH_MAX = 500_000
CUT = "\n… the rest was too long and is not kept."
TS_MAX = 2**53
TOKENS_MAX = 2**40
COST_MAX = Decimal(100_000)
TYPE_LENGTH_MAX = 100


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a task. `about` is what kind of saying or asking it is, in the editor's words."""

    ts: int
    kind: Literal["say", "ask"]
    about: str
    text: str
    images: int
    is_partial: bool


@dataclass(frozen=True, slots=True)
class Completion:
    """A call to a model, whoever served it and whoever paid."""

    digest: bytes
    tokens_in: int
    tokens_out: int
    cost: Money


@dataclass(frozen=True, slots=True)
class About:
    """What an event says of the task it belongs to."""

    client_task_id: str
    mode: str | None
    model: str | None
    provider: str | None
    repository: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `about` is None when it belongs to no task."""

    type: str
    about: About | None
    message: Message | None = None
    completion: Completion | None = None


def read_event(document: Mapping[str, object]) -> Event:
    """Read an event. Raises InvalidInput with the field that is wrong."""
    type_, properties = document.get("type"), document.get("properties")
    if not isinstance(type_, str) or not 0 < len(type_) <= TYPE_LENGTH_MAX:
        raise InvalidInput("type must name the event.", field="type")
    if not isinstance(properties, dict):
        raise InvalidInput("properties must be an object.", field="properties")
    about = read_about(properties)
    match type_:
        case "Task Message":
            if about is None:
                raise InvalidInput("A message belongs to a task.", field="taskId")
            return Event(type_, about, message=read_message(properties.get("message")))
        case "LLM Completion":
            return Event(type_, about, completion=_completion(properties))
        case _:
            return Event(type_, about)


def read_about(properties: Mapping[str, object]) -> About | None:
    """Which task, and what is known of it. None without a task."""
    task_id = read_task_id(properties.get("taskId")) if properties.get("taskId") is not None else None
    found = [words(properties, name, length_max=200) for name in ("mode", "modelId", "apiProvider", "repositoryName")]
    return About(task_id, *found) if task_id is not None else None


def read_task_id(value: object) -> str:
    """The editor's name for a task. Raises InvalidInput."""
    if not isinstance(value, str) or not 0 < len(value) <= 100 or not value.isprintable() or value != value.strip():
        raise InvalidInput("taskId must be a short text.", field="taskId")
    return value


def read_message(value: object) -> Message:
    """Read a message. Raises InvalidInput."""
    if not isinstance(value, dict):
        raise InvalidInput("message must be an object.", field="message")
    ts, kind = value.get("ts"), value.get("type")
    if not isinstance(ts, int) or isinstance(ts, bool) or not 0 < ts < TS_MAX:
        raise InvalidInput("message.ts must be a time in milliseconds.", field="message.ts")
    if not isinstance(kind, str) or kind not in {"say", "ask"}:
        raise InvalidInput("message.type must be say or ask.", field="message.type")
    text, images, partial = value.get("text"), value.get("images"), value.get("partial")
    if text is not None and not isinstance(text, str):
        raise InvalidInput("message.text must be text.", field="message.text")
    if images is not None and not isinstance(images, list):
        raise InvalidInput("message.images must be a list.", field="message.images")
    if partial is not None and not isinstance(partial, bool):
        raise InvalidInput("message.partial must be true or false.", field="message.partial")
    text = clean(text or "")
    return Message(
        ts=ts,
        kind="say" if kind == "say" else "ask",
        about=words(value, str(kind), length_max=60) or "",
        text=text if len(text) <= TEXT_LENGTH_MAX else text[:TEXT_LENGTH_MAX] + CUT,
        images=len(images or ()),
        is_partial=bool(partial),
    )


def _completion(properties: Mapping[str, object]) -> Completion:
    digest = sha256(orjson.dumps(properties, option=orjson.OPT_SORT_KEYS)).digest()
    tokens_in, tokens_out = (_count(properties, name) for name in ("inputTokens", "outputTokens"))
    return Completion(digest, tokens_in, tokens_out, _cost(properties.get("cost")))


def _count(properties: Mapping[str, object], name: str) -> int:
    value = properties.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < TOKENS_MAX:
        raise InvalidInput(f"{name} must be a number of tokens.", field=name)
    return int(value)


def _cost(value: object) -> Money:
    """A cost as the editor worked it out; it is shown to the person and moves no money. Below a nano-dollar is cut."""
    if value is None:
        return Money(0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise InvalidInput("cost must be a number of dollars.", field="cost")
    exact = Decimal(str(value))
    if not 0 <= exact < COST_MAX:
        raise InvalidInput("cost must be a number of dollars.", field="cost")
    return Money(int(exact * 1_000_000_000))
