"""The scripts of the rows in docs/faults.md, by name, and what they are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from support.upstream import Exchange, Script, chunk, completion, usage, usage_chunk

SPENT = usage(20, 8)
TEXT = "Sixteen letters."
HELLO = chunk({"content": TEXT})
STOP = chunk({}, "stop")
DONE = b"[DONE]"
ENDING: list[object] = [STOP, usage_chunk(SPENT), DONE]
STREAM: list[object] = [HELLO, *ENDING]
ERROR = {"error": {"message": "overloaded", "code": 529}}
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Fault:
    """A script, the usage that it reports, and the model whose upstream it is."""

    script: Script
    spent: dict[str, Any]
    model: str


json_of = orjson.dumps
FAULTS: dict[str, Fault] = {}


def fault(name: str, *, spent: dict[str, Any] = SPENT, model: str = "up/paid") -> Callable[[Script], Script]:
    """The script of the row of that name."""

    def register(script: Script) -> Script:
        assert name not in FAULTS
        FAULTS[name] = Fault(script, spent, model)
        return script

    return register


def is_stream(exchange: Exchange) -> bool:
    return bool(exchange.body.get("stream"))


async def begin(exchange: Exchange) -> None:
    """A stream's head and its first words."""
    await exchange.begin_stream()
    await exchange.event(HELLO)


async def proper(exchange: Exchange) -> None:
    """What it should have been, whole or streamed."""
    if is_stream(exchange):
        await exchange.stream([HELLO, *ENDING])
    else:
        await exchange.answer(completion(TEXT, SPENT))


async def pour(exchange: Exchange) -> None:
    """Send without an end, until the other side has had enough."""
    while True:
        await exchange.raw(b"x" * MEGABYTE)
