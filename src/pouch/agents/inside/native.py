"""The native engine: a model, bash, and the conversation between them. JSON lines in and out.

In:  {"type": "turn", …} first, then {"type": "message", "text": …} and {"type": "stop"} at any time.
Out: the events of engines/types.py, each with "type".
Exit codes: 0 finished, 75 out of credits, 76 stopped, 77 too many steps, 78 going in circles, 79 asks, 1 failed.
"""

import json
import os
import re
import shlex
import sys

sys.path.insert(0, "/opt/pouch")

from pouch.agents.inside import model, shell
from pouch.agents.inside.checkpoint import Checkpoints
from pouch.agents.inside.circles import END_AFTER, WARN_AFTER, Circles
from pouch.agents.inside.inbox import Inbox
from pouch.agents.inside.session import STATE, Session, calls_of

FINISHED, FAILED, OUT_OF_CREDITS, STOPPED, STEP_LIMIT, REPEATING, ASKS = 0, 1, 75, 76, 77, 78, 79

CONVERSATION_BYTES_MAX = 600_000
"""Above it, the outputs of old commands are left out, oldest first."""
EVENT_TEXT_MAX = 48 * 1024

ENDS = re.compile(r"\s*(submit|ask)(?:\s|$)")
"""What is a command of ours, not of the shell: the task is done, or it needs an answer."""
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
    steps = Steps(session, inbox, may_write=bool(turn.get("may_write")), may_ask=bool(turn.get("may_ask")))
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

    def __init__(self, session: Session, inbox: Inbox, *, may_write: bool, may_ask: bool) -> None:
        self._session = session
        self._inbox = inbox
        self._may_ask = may_ask
        self._circles = Circles()
        self._checkpoints = Checkpoints(STATE) if may_write else None
        # Who cannot write answers with text; who can ends with a command, and is told so once.
        self._was_nudged = not may_write

    def take(self, message: model.Json, step: int) -> int | None:
        """Do what a message asks for; a code when it was the last one."""
        calls = calls_of(message)
        if not calls:
            return self._talk()
        repeats, code = self._act(calls)
        if self._checkpoints is not None and (sha := self._checkpoints.keep(f"Step {step}")) is not None:
            emit("git", action="checkpoint", sha=sha)
        if self._inbox.is_stopped():
            return STOPPED
        if code is not None and not self._session.hear(self._inbox):
            return code
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

    def _act(self, calls: list[model.Json]) -> tuple[int, int | None]:
        repeats: int = 0
        code: int | None = None
        for call in calls:
            output, ends = _act(call, self._inbox, may_ask=self._may_ask)
            if ends is not None:
                code = ends
            else:
                repeats = max(repeats, self._circles.add(str(call["arguments"]), output))
                if repeats == WARN_AFTER:
                    output += "\n[You did this before, with the same result. Try something else.]"
            self._session.add({"role": "tool", "tool_call_id": call["id"], "content": output})
        return repeats, code


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


def _act(call: model.Json, inbox: Inbox, *, may_ask: bool) -> tuple[str, int | None]:
    """Do what a call asks for: what the model is told, and our code when the turn ends with it."""
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
    if ends := ENDS.match(command):
        return _end(ends[1], _words(command), may_ask=may_ask)
    result = shell.run(command, timeout_s, inbox.is_stopped)
    emit("tool_output", id=call["id"], text=result.text, code=result.code, is_cut=result.is_cut)
    return "\n".join(filter(None, [result.text, result.note, f"[exit code {result.code}]"])), None


def _end(word: str, text: str, *, may_ask: bool) -> tuple[str, int | None]:
    if word == "submit":
        emit("message", text=text[:EVENT_TEXT_MAX], is_summary=True)
        return "Submitted.", FINISHED
    if not may_ask:
        return "Nobody is there to answer. Decide for yourself, and say what you decided.", None
    emit("message", text=text[:EVENT_TEXT_MAX], is_question=True)
    return "Asked. The answer is the next message.", ASKS


def _words(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    return " ".join(words[1:])


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # The thread that listens waits for standard input, and Python would wait for it.
    os._exit(code)
