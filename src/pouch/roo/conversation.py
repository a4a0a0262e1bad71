"""A task's messages as people read them: who speaks, and what about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from pouch.roo.reported import Message

SHOWN_LENGTH_MAX = 20_000
"""Of one message on a page."""
_SILENT = {"api_req_started", "api_req_finished", "api_req_retried", "api_req_deleted", "checkpoint_saved"}
"""What the editor notes for itself."""
_PERSON = {"user_feedback", "user_feedback_diff"}
_NAMES = {
    "text": "Roo",
    "reasoning": "Thought",
    "completion_result": "Result",
    "error": "Error",
    "command": "Command",
    "command_output": "Output",
    "tool": "Tool",
    "followup": "Question",
    "mcp_server_response": "Answer of a server",
    "use_mcp_server": "Server",
    "condense_context": "Summary",
}
_TOOL_WORDS = ("tool", "path", "regex", "query", "reason")


@dataclass(frozen=True, slots=True)
class Line:
    """One message, to be shown."""

    speaker: str
    is_person: bool
    is_output: bool
    """Machine text, in a well."""
    text: str
    images: int
    at: datetime | None
    is_cut: bool


def lines_of(messages: Sequence[Message]) -> list[Line]:
    """What of the messages is for people. The first is what the person asked."""
    shown = [message for message in messages if message.about not in _SILENT and (message.text or message.images)]
    return [_line(message, is_first=number == 0) for number, message in enumerate(shown)]


def _line(message: Message, *, is_first: bool) -> Line:
    is_person = message.about in _PERSON or (is_first and message.about == "text")
    text = _readable(message)
    return Line(
        speaker="You"
        if is_person
        else _NAMES.get(message.about, message.about.replace("_", " ").capitalize() or "Roo"),
        is_person=is_person,
        is_output=message.about in {"command", "command_output", "tool", "mcp_server_response", "use_mcp_server"},
        text=text[:SHOWN_LENGTH_MAX],
        images=message.images,
        at=_time(message.ts),
        is_cut=len(text) > SHOWN_LENGTH_MAX,
    )


def _readable(message: Message) -> str:
    """The words in what the editor writes as JSON; any other text as it is."""
    if message.about not in {"tool", "followup", "use_mcp_server"}:
        return message.text
    try:
        document = orjson.loads(message.text)
    except orjson.JSONDecodeError:
        return message.text
    if not isinstance(document, dict):
        return message.text
    if isinstance(question := document.get("question"), str):
        return question
    head = " ".join(str(document[name]) for name in _TOOL_WORDS if document.get(name))
    body = document.get("diff") or document.get("content") or document.get("arguments")
    return f"{head}\n{body}" if isinstance(body, str) else head or message.text


def _time(ts: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(ts / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
