"""The conversation of an agent with its model, kept in the home folder so that a later attempt can go on."""

import json
from pathlib import Path

from pouch.agents.inside.inbox import Inbox
from pouch.agents.inside.model import Json
from pouch.agents.inside.rules import repository_rules

WORK = Path("/work")
STATE = Path.home() / ".pouch"
SESSION = STATE / "session.json"
RECENT_MESSAGES = 12


class Session:
    """The conversation, kept in the home folder so that a later attempt can go on."""

    def __init__(self, turn: Json) -> None:
        self.messages: list[Json] = []
        system = str(turn.get("system", ""))
        rules = repository_rules(WORK, str(turn.get("kind", "")))
        if rules:
            system += f"\n\n# What this repository asks of agents\n{rules}"
        if turn.get("resume") and SESSION.is_file():
            self.messages = json.loads(SESSION.read_text())
            self._answer_open_calls()
        if self.messages and self.messages[0].get("role") == "system":
            self.messages[0]["content"] = system
        else:
            self.messages.insert(0, {"role": "system", "content": system})
        self.add({"role": "user", "content": str(turn.get("task", ""))})

    def add(self, message: Json) -> None:
        """Append a message and keep the conversation."""
        self.messages.append(message)
        draft = SESSION.with_suffix(".new")
        draft.write_text(json.dumps(self.messages))
        draft.replace(SESSION)

    def hear(self, inbox: Inbox) -> bool:
        """Add what a person said meanwhile. False when it was nothing."""
        said = inbox.messages()
        for text in said:
            self.add({"role": "user", "content": text})
        return bool(said)

    def shorten(self, bytes_max: int) -> bool:
        """Leave the outputs of old commands out until it is short enough. False when nothing was left to leave out."""
        size = len(json.dumps(self.messages))
        was_shortened = False
        for message in self.messages[1:-RECENT_MESSAGES]:
            if size <= bytes_max:
                break
            content = message.get("content")
            if message.get("role") == "tool" and isinstance(content, str) and len(content) > 200:
                message["content"] = f"{content[:100]} [… left out …]"
                size -= len(content) - 120
                was_shortened = True
        return was_shortened

    def _answer_open_calls(self) -> None:
        # A conversation that was cut between a call and its result would be refused by every model.
        answered = {message.get("tool_call_id") for message in self.messages if message.get("role") == "tool"}
        last = next((m for m in reversed(self.messages) if m.get("role") == "assistant"), None)
        for call in calls_of(last or {}):
            if call["id"] not in answered:
                self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": "[interrupted]"})


def calls_of(message: Json) -> list[Json]:
    """The tools that a message asks for."""
    found: list[Json] = []
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        function = call["function"]
        found.append({"id": call["id"], "name": function["name"], "arguments": function["arguments"]})
    return found
