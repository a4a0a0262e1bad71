"""Any agent program with a command line: how it is started, and how what it prints is read.

It runs behind `agents/inside/cli.py`, which gives it the gateway at a local port. Its exit code and its figures of cost
are shown at most: two of six such programs say "success" when the gateway refused them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from pouch.agents.engines.kinds import whole_task
from pouch.agents.engines.lines import event_of, log
from pouch.agents.engines.types import Event, Finish, Turn
from pouch.agents.sandboxes.types import Command, Mount
from pouch.agents.sandboxes.visible import GATEWAY_PORT, PLACEHOLDER, program

FOLDER = "/opt/engine"
BASE_URL = f"http://127.0.0.1:{GATEWAY_PORT}/v1"

Read = Callable[[Mapping[str, object]], Iterable[Event]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One program that is known. In `argv`, {task}, {task_file} and {model} stand for a turn's."""

    name: str
    argv: tuple[str, ...]
    read: Read
    """What a line of JSON means; nothing for one that is not understood."""
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Callable[[Turn], Mapping[str, str]] = lambda _: {}
    """Written into the home folder before it starts."""


class CommandLine:
    """An engine that takes a task, works, and ends."""

    def __init__(self, entry: Entry, folder: Path) -> None:
        """`folder`: where it is installed."""
        self._entry = entry
        self._folder = folder

    @property
    def name(self) -> str:
        """As in the configuration."""
        return self._entry.name

    def command(self, turn: Turn) -> Command:
        """The starter, with the program's folder to be read."""
        mounts = (Mount(self._folder, FOLDER),)
        return Command(program("cli"), "agent", turn.timeout_s, mounts=mounts)

    def opening(self, turn: Turn) -> bytes:
        """What the starter needs."""
        document = {
            "argv": [turn.model if word == "{model}" else word for word in self._entry.argv],
            "env": dict(self._entry.environment),
            "files": dict(self._entry.files(turn)),
            "task": whole_task(turn),
            "may_write": turn.may_write,
            "kind": turn.kind,
        }
        return orjson.dumps(document) + b"\n"

    def read(self, line: bytes) -> Iterable[Event]:
        """A line of JSON is what the entry says; every other is a log."""
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            said = None
        events = list(self._entry.read(said)) if isinstance(said, dict) else []
        return events or [log(line)]

    def follow_up(self, text: str) -> bytes | None:
        """It takes no message while it works."""
        del text
        return None

    def stop_request(self) -> bytes | None:
        """It gets SIGTERM."""
        return None

    def finish(self, code: int) -> Finish:
        """What its code claims."""
        return "finished" if code == 0 else "failed"


def _opencode_files(turn: Turn) -> Mapping[str, str]:
    writes = "allow" if turn.may_write else "deny"
    settings = {
        "model": f"pouch/{turn.model}",
        "small_model": f"pouch/{turn.model}",
        "autoupdate": False,
        "share": "disabled",
        "permission": {"edit": writes, "bash": "allow", "webfetch": "deny"},
        "provider": {
            "pouch": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Pouch",
                "options": {"baseURL": BASE_URL, "apiKey": PLACEHOLDER},
                "models": {turn.model: {"name": turn.model}},
            }
        },
    }
    return {".config/opencode/opencode.json": orjson.dumps(settings).decode()}


def read_opencode(said: Mapping[str, object]) -> Iterable[Event]:
    """`opencode run --format json`: one part of the conversation on each line."""
    part = said.get("part")
    part = part if isinstance(part, dict) else {}
    match said.get("type"):
        case "text":
            yield event_of("message", {"text": str(part.get("text", ""))})
        case "reasoning":
            yield event_of("thought", {"text": str(part.get("text", ""))})
        case "tool_use":
            yield from _opencode_tool(part)
        case "step_finish":
            tokens = part.get("tokens")
            if isinstance(tokens, dict):
                counts = {"prompt_tokens": tokens.get("input", 0), "completion_tokens": tokens.get("output", 0)}
                yield event_of("usage", counts)
        case "error":
            yield event_of("notice", {"code": "engine_error", "text": orjson.dumps(said.get("error")).decode()[:2000]})
        case "step_start":
            # Nothing that anybody would miss.
            yield event_of("log", {"text": "A step begins."})


def _opencode_tool(part: Mapping[str, object]) -> Iterable[Event]:
    state = part.get("state")
    state = state if isinstance(state, dict) else {}
    given = state.get("input")
    given = given if isinstance(given, dict) else {}
    call, name = str(part.get("callID", "")), str(part.get("tool", ""))
    command = str(given["command"]) if name == "bash" and "command" in given else orjson.dumps(given).decode()
    yield event_of("tool_call", {"id": call, "name": name, "command": command})
    meta = state.get("metadata")
    code = meta.get("exit") if isinstance(meta, dict) else None
    text = str(state.get("output") or state.get("error") or "")
    yield event_of("tool_output", {"id": call, "text": text, "code": code if isinstance(code, int) else None})


def read_roo(said: Mapping[str, object]) -> Iterable[Event]:
    """Roo Code's command line with `--output-format stream-json`."""
    text = str(said.get("content") or said.get("text") or "")
    match said.get("type"):
        case "assistant":
            yield event_of("message", {"text": text})
        case "thinking":
            yield event_of("thought", {"text": text})
        case "tool_use":
            use = said.get("tool_use")
            use = use if isinstance(use, dict) else {}
            command = orjson.dumps(use.get("input")).decode()
            yield event_of(
                "tool_call", {"id": str(said.get("id", "")), "name": str(use.get("name")), "command": command}
            )
        case "tool_result":
            result = said.get("tool_result")
            result = result if isinstance(result, dict) else {}
            output = str(result.get("output") or result.get("error") or text)
            yield event_of("tool_output", {"id": str(said.get("id", "")), "text": output, "code": None})
        case "error":
            yield event_of("notice", {"code": "engine_error", "text": text})


READY: Mapping[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="opencode",
            argv=(f"{FOLDER}/node_modules/.bin/opencode", "run", "--format", "json", "{task}"),
            read=read_opencode,
            environment={
                "OPENCODE_DISABLE_AUTOUPDATE": "1",
                "OPENCODE_DISABLE_MODELS_FETCH": "1",
                "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
                "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
            },
            files=_opencode_files,
        ),
        Entry(
            name="roo",
            argv=(
                f"{FOLDER}/bin/roo",
                "--print",
                "--output-format",
                "stream-json",
                "--provider",
                "openai-native",
                "--model",
                "{model}",
                "--workspace",
                "/work",
                "--prompt-file",
                "{task_file}",
            ),
            read=read_roo,
        ),
    )
}
"""What is ready to use once its operator has installed it (engines/README.md)."""
