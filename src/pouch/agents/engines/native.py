"""The native engine: our own loop (`agents/inside/native.py`), the default."""

from collections.abc import Iterable

import orjson

from pouch.agents.engines.kinds import system_prompt
from pouch.agents.engines.lines import event_of, log
from pouch.agents.engines.types import Event, EventType, Finish, Turn
from pouch.agents.sandboxes.types import Command
from pouch.agents.sandboxes.visible import program

# Matched by agents/inside/native.py.
FINISHES: dict[int, Finish] = {
    0: "finished",
    75: "out_of_credits",
    76: "stopped",
    77: "step_limit",
    78: "repeating",
    79: "asks",
}
KNOWN: dict[object, EventType] = {
    "message": "message",
    "tool_call": "tool_call",
    "tool_output": "tool_output",
    "usage": "usage",
    "git": "git",
    "notice": "notice",
}


class Native:
    """Speaks JSON lines in both directions."""

    name = "native"

    def command(self, turn: Turn) -> Command:
        """Plain Python, without site packages: it is there at once and stays small."""
        return Command(argv=program("native"), phase="agent", timeout_s=turn.timeout_s)

    def opening(self, turn: Turn) -> bytes:
        """The turn as it reads it."""
        document = {
            "type": "turn",
            "kind": turn.kind,
            "system": system_prompt(turn),
            "task": turn.task,
            "model": turn.model,
            "may_write": turn.may_write,
            "may_ask": turn.may_ask,
            "resume": turn.resume,
            "steps_max": turn.steps_max,
        }
        return orjson.dumps(document) + b"\n"

    def read(self, line: bytes) -> Iterable[Event]:
        """One line is one event."""
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            return [log(line)]
        kind = KNOWN.get(said.pop("type", "")) if isinstance(said, dict) else None
        return [event_of(kind, said)] if kind is not None else [log(line)]

    def follow_up(self, text: str) -> bytes | None:
        """It looks for messages before each call of the model."""
        return orjson.dumps({"type": "message", "text": text}) + b"\n"

    def stop_request(self) -> bytes | None:
        """It ends within a tenth of a second, also in the middle of a command or an answer."""
        return b'{"type":"stop"}\n'

    def finish(self, code: int) -> Finish:
        """What its code claims."""
        return FINISHES.get(code, "failed")
