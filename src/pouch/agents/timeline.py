"""A run's events as people read them: one sentence each, with what was printed behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from pouch.agents.events import RunEvent
from pouch.agents.types import STATES, RunState
from pouch.agents.words import Tone, reason_words, state_tone, state_words
from pouch.base.money import ZERO, Money
from pouch.web.filters import exact

ICONS = (
    "message-square",
    "bot",
    "circle-question-mark",
    "brain",
    "terminal",
    "file-diff",
    "hourglass",
    "play",
    "pause",
    "circle-check",
    "circle-x",
    "circle-stop",
    "triangle-alert",
    "shield-alert",
    "download",
    "git-commit-horizontal",
    "coins",
)
"""Every mark that can stand in a timeline; pages that are open draw new items from these."""
_STATE_ICONS: Mapping[RunState, str] = {
    "queued": "hourglass",
    "starting": "hourglass",
    "setup": "hourglass",
    "running": "play",
    "paused": "pause",
    "waiting_user": "pause",
    "paused_no_credit": "pause",
    "stopping": "download",
    "succeeded": "circle-check",
    "canceled": "circle-stop",
}
_SENTENCES: Mapping[RunState, str] = {
    "queued": "Waiting in line, not billed",
    "starting": "Preparing the workspace, not billed",
    "setup": "Setting up, not billed",
    "running": "Running, billed by the second",
    "paused": "Paused. The meter has stopped",
    "waiting_user": "Waiting for you, not billed",
    "paused_no_credit": "Paused. The meter has stopped and the work is saved",
    "stopping": "The meter has stopped. Saving the work, not billed",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the timeline. `quote` is what somebody said, `output` what a program printed."""

    seq: int
    at: datetime
    icon: str
    text: str
    tone: Tone = ""
    code: str = ""
    quote: str = ""
    output: str = ""
    cost: str = ""
    """What a call of a model cost, as the ledger has it."""

    @property
    def clock(self) -> str:
        """The time of day in UTC."""
        return f"{self.at.astimezone(UTC):%H:%M:%S}"


def items_of(events: Sequence[RunEvent], calls: Sequence[tuple[datetime, Money]] = ()) -> list[Item]:
    """The lines of these events; what says nothing to people has none.

    `calls` are the calls that the ledger charged, by their end: each stands with the step that it belongs to. A call is
    charged before its agent hears the last of the answer, so what had ended by then is the step's.
    """
    left = list(calls)
    found: list[Item] = []
    for event in events:
        item = item_of(event)
        if item is None:
            continue
        if event.type == "usage":
            costs = [cost for ended_at, cost in left if ended_at <= event.at]
            del left[: len(costs)]
            item = replace(item, cost=exact(sum(costs, ZERO)) if costs else "")
        found.append(item)
    return found


def item_json(event: RunEvent) -> dict[str, object]:
    """The same for a page that is open."""
    item = item_of(event)
    if item is None:
        return {"seq": event.seq}
    return asdict(item) | {"at": item.at.isoformat(), "clock": item.clock}


def item_of(event: RunEvent) -> Item | None:  # noqa: C901, PLR0911, PLR0912 -- one case for each type of event
    """The line of an event. None when it says nothing to people."""
    body, seq, at = event.body, event.seq, event.at
    text = _text(body, "text")
    match event.type:
        case "message" if body.get("from") == "person":
            return Item(seq, at, "message-square", "You wrote", quote=text)
        case "message" if body.get("is_question"):
            return Item(seq, at, "circle-question-mark", "The agent asks", "held", quote=text)
        case "message":
            return Item(seq, at, "bot", "The agent says", quote=text)
        case "thought":
            return Item(seq, at, "brain", text)
        case "tool_call":
            return Item(seq, at, "terminal", "Runs", code=_text(body, "command") or _text(body, "name"))
        case "tool_output":
            code = body.get("code")
            is_bad = isinstance(code, int) and code != 0
            words = f"Ended with {code}" if is_bad else "Printed"
            return Item(seq, at, "terminal", words, "bad" if is_bad else "", output=text) if text or is_bad else None
        case "setup_log":
            is_bad = bool(body.get("code"))
            return Item(
                seq, at, "terminal", "Set-up", "bad" if is_bad else "", code=_text(body, "command"), output=text
            )
        case "file_change":
            return Item(seq, at, "file-diff", "Changed", code=_text(body, "path"))
        case "test_result":
            return Item(seq, at, "circle-check", text or "Ran the tests", "good" if body.get("passed") else "bad")
        case "usage":
            return Item(seq, at, "coins", _usage_words(body))
        case "git" if body.get("action") == "saved":
            return Item(seq, at, "download", _saved_words(body), "good", code=_text(body, "branch"))
        case "git":
            return None
        case "egress_denied":
            return Item(seq, at, "shield-alert", text, "held")
        case "notice":
            return Item(seq, at, "triangle-alert", text, "held")
        case "state":
            return _state_item(event)
        case _:
            return None


def _state_item(event: RunEvent) -> Item | None:
    state = next((each for each in STATES if each == event.body.get("state")), None)
    if state is None:
        return None
    reason = reason_words(_text(event.body, "reason"))
    words = _SENTENCES.get(state, state_words(state))
    # What has ended is news; what goes on is not marked as live for ever after.
    tone = state_tone(state)
    return Item(
        event.seq,
        event.at,
        _STATE_ICONS.get(state, "circle-x"),
        f"{words}. {reason}" if reason else words,
        "" if tone == "live" else tone,
    )


def _usage_words(body: Mapping[str, object]) -> str:
    given, made = body.get("prompt_tokens"), body.get("completion_tokens")
    return f"Asked the model: {given or 0:,} tokens in, {made or 0:,} out"


def _saved_words(body: Mapping[str, object]) -> str:
    files = body.get("files")
    if not files:
        return "There was no change to save"
    return (
        f"Saved the work: {files} {'file' if files == 1 else 'files'}, +{body.get('added')} −{body.get('removed')}, on"  # noqa: RUF001 -- a true minus
    )


def _text(body: Mapping[str, object], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""
