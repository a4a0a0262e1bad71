"""The native engine: a model, bash, and the conversation between them. JSON lines in and out.

In:  {"type": "turn", …} first, then {"type": "message", "text": …} and {"type": "stop"} at any time.
Out: the events of engines/types.py, each with "type".
Exit codes: 0 finished, 75 out of credits, 76 stopped, 77 too many steps, 78 going in circles, 1 failed.
"""

import hashlib
import json
import os
import queue
import re
import shlex
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, "/opt/pouch")

from pouch.agents.inside import model, shell
from pouch.agents.inside.checkpoint import Checkpoints
from pouch.agents.inside.rules import repository_rules

FINISHED, FAILED, OUT_OF_CREDITS, STOPPED, STEP_LIMIT, REPEATING = 0, 1, 75, 76, 77, 78

WORK = Path("/work")
STATE = Path.home() / ".pouch"
SESSION = STATE / "session.json"
CONVERSATION_BYTES_MAX = 600_000
"""Above it, the outputs of old commands are left out, oldest first."""
RECENT_MESSAGES = 12
EVENT_TEXT_MAX = 48 * 1024
WARN_AFTER, END_AFTER = 3, 5
PERIOD_MAX = 3

SUBMIT = re.compile(r"\s*submit(?:\s|$)")
TOOL: model.Json = {
    "type": "function",
    "function": {
        "name": "bash",
        "description": "Run a command in bash, in the repository's folder. Each runs in a shell of its own. "
        "When the task is done, run: submit 'one paragraph about what you did'",
        "parameters": {
            "type": "object",
            "properties": {
                "command": {"type": "string"},
                "timeout_s": {"type": "number", "description": "120 when left out"},
            },
            "required": ["command"],
        },
    },
}
NUDGE = "Nothing was run. Go on with bash, or, when the task is done, run: submit 'one paragraph about what you did'"


class Inbox:
    """What is written to us while we work, read by a thread of its own."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._messages: queue.SimpleQueue[str] = queue.SimpleQueue()
        signal.signal(signal.SIGTERM, lambda *_: self._stopped.set())

    def first(self) -> model.Json:
        """The turn."""
        turn = json.loads(sys.stdin.buffer.readline())
        assert isinstance(turn, dict)
        threading.Thread(target=self._listen, daemon=True).start()
        return turn

    def is_stopped(self) -> bool:
        """Whether we were asked to end."""
        return self._stopped.is_set()

    def messages(self) -> list[str]:
        """What a person said since we last asked."""
        found: list[str] = []
        while not self._messages.empty():
            found.append(self._messages.get())
        return found

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if said.get("type") == "message":
                self._messages.put(str(said.get("text", "")))
            elif said.get("type") == "stop":
                self._stopped.set()
        # Nobody is there any more to hear what we find.
        self._stopped.set()


class Session:
    """The conversation, kept in the home folder so that a later attempt can go on."""

    def __init__(self, turn: model.Json) -> None:
        self.messages: list[model.Json] = []
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

    def add(self, message: model.Json) -> None:
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
        for call in _calls(last or {}):
            if call["id"] not in answered:
                self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": "[interrupted]"})


class Circles:
    """Notices when the same commands give the same outputs again and again."""

    def __init__(self) -> None:
        self._steps: list[str] = []

    def add(self, command: str, output: str) -> int:
        """How often the last one to three steps came in a row."""
        self._steps.append(hashlib.sha256(f"{command}\0{output}".encode()).hexdigest())
        return max(map(self._repeats, range(1, PERIOD_MAX + 1)))

    def _repeats(self, period: int) -> int:
        last = self._steps[-period:]
        count = 0
        for end in range(len(self._steps), period - 1, -period):
            if self._steps[end - period : end] != last:
                break
            count += 1
        return count


def emit(kind: str, **data: object) -> None:
    """Say one event."""
    sys.stdout.write(json.dumps({"type": kind, **data}) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Work on one turn."""
    inbox = Inbox()
    turn = inbox.first()
    STATE.mkdir(parents=True, exist_ok=True)
    session = Session(turn)
    try:
        return _work(turn, session, inbox)
    except model.OutOfCredits as error:
        emit("notice", code="out_of_credits", text=str(error))
        return OUT_OF_CREDITS
    except model.Stopped:
        return STOPPED
    except model.ModelFailed as error:
        emit("notice", code="model_failed", text=str(error))
        return FAILED


def _work(turn: model.Json, session: Session, inbox: Inbox) -> int:
    steps = Steps(session, inbox, may_write=bool(turn.get("may_write")))
    steps_max = int(str(turn.get("steps_max", 100)))
    for step in range(1, steps_max + 1):
        session.hear(inbox)
        code = steps.take(_ask(str(turn["model"]), session, inbox), step)
        if code is not None:
            return code
    emit("notice", code="step_limit", text=f"The agent was ended after {steps_max} steps.")
    return STEP_LIMIT


class Steps:
    """What is done with each message of the model."""

    def __init__(self, session: Session, inbox: Inbox, *, may_write: bool) -> None:
        self._session = session
        self._inbox = inbox
        self._circles = Circles()
        self._checkpoints = Checkpoints(STATE) if may_write else None
        # Who cannot write answers with text; who can ends with a command, and is told so once.
        self._was_nudged = not may_write

    def take(self, message: model.Json, step: int) -> int | None:
        """Do what a message asks for; a code when it was the last one."""
        calls = _calls(message)
        if not calls:
            return self._talk()
        repeats, is_submitted = self._act(calls)
        if self._checkpoints is not None and (sha := self._checkpoints.keep(f"Step {step}")) is not None:
            emit("git", action="checkpoint", sha=sha)
        if self._inbox.is_stopped():
            return STOPPED
        if is_submitted and not self._session.hear(self._inbox):
            return FINISHED
        if repeats >= END_AFTER:
            emit("notice", code="repeating", text="The agent did the same again and again, so it was ended.")
            return REPEATING
        return None

    def _talk(self) -> int | None:
        if self._session.hear(self._inbox):
            return None
        if self._was_nudged:
            return FINISHED
        self._was_nudged = True
        self._session.add({"role": "user", "content": NUDGE})
        return None

    def _act(self, calls: list[model.Json]) -> tuple[int, bool]:
        repeats, is_submitted = 0, False
        for call in calls:
            output, summary = _act(call, self._inbox)
            if summary is not None:
                is_submitted = True
            else:
                repeats = max(repeats, self._circles.add(str(call["arguments"]), output))
                if repeats == WARN_AFTER:
                    output += "\n[You did this before, with the same result. Try something else.]"
            self._session.add({"role": "tool", "tool_call_id": call["id"], "content": output})
        return repeats, is_submitted


def _ask(name: str, session: Session, inbox: Inbox) -> model.Json:
    if inbox.is_stopped():
        raise model.Stopped
    session.shorten(CONVERSATION_BYTES_MAX)
    try:
        message, usage = model.ask(name, session.messages, [TOOL], inbox.is_stopped)
    except model.TooLong:
        if not session.shorten(len(json.dumps(session.messages)) // 2):
            raise
        message, usage = model.ask(name, session.messages, [TOOL], inbox.is_stopped)
    if usage:
        emit("usage", **{each: usage.get(each, 0) for each in ("prompt_tokens", "completion_tokens")})
    if isinstance(text := message.get("content"), str) and text.strip():
        emit("message", text=text[:EVENT_TEXT_MAX])
    session.add(message)
    return message


def _act(call: model.Json, inbox: Inbox) -> tuple[str, str | None]:
    """Do what a call asks for: what the model is told, and the summary when it says that it is done."""
    name = str(call["name"])
    try:
        given = json.loads(str(call["arguments"]) or "{}")
        command = given["command"]
        timeout_s = min(float(given.get("timeout_s") or shell.TIMEOUT_S), shell.TIMEOUT_MAX_S)
    except (ValueError, KeyError, TypeError):
        return "[The arguments must be JSON with a text “command”.]", None
    if name != "bash" or not isinstance(command, str):
        return f"[There is no tool {name!r}; use bash with a text “command”.]", None
    emit("tool_call", id=call["id"], name=name, command=command[:EVENT_TEXT_MAX])
    if SUBMIT.match(command):
        summary = _summary(command)
        emit("message", text=summary[:EVENT_TEXT_MAX], is_summary=True)
        return "Submitted.", summary
    result = shell.run(command, timeout_s, inbox.is_stopped)
    emit("tool_output", id=call["id"], text=result.text, code=result.code, is_cut=result.is_cut)
    return "\n".join(filter(None, [result.text, result.note, f"[exit code {result.code}]"])), None


def _summary(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    return " ".join(words[1:])


def _calls(message: model.Json) -> list[model.Json]:
    found: list[model.Json] = []
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        function = call["function"]
        found.append({"id": call["id"], "name": function["name"], "arguments": function["arguments"]})
    return found


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # The thread that listens waits for standard input, and Python would wait for it.
    os._exit(code)
