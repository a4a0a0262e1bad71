import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from pouch.agents.engines.choosing import engines_of
from pouch.agents.engines.command_line import READY, CommandLine
from pouch.agents.engines.types import Event
from pouch.settings import Agents, SettingsError
from support.sandboxes import SUMS, TURN, box, cloned, driven, needs_bubblewrap, repository


def read(name: str, *lines: object) -> Sequence[tuple[str, dict[str, object]]]:
    engine = CommandLine(READY[name], Path("/nowhere"))
    events: list[Event] = [event for line in lines for event in engine.read(json.dumps(line).encode())]
    return [(event.type, dict(event.data)) for event in events]


def test_what_opencode_says_is_understood() -> None:
    tool = {
        "callID": "c1",
        "tool": "bash",
        "state": {"input": {"command": "ls"}, "output": "a\n", "metadata": {"exit": 0}},
    }
    edit = {"callID": "c2", "tool": "edit", "state": {"input": {"filePath": "x"}, "error": "no such file"}}
    assert read(
        "opencode",
        {"type": "text", "part": {"text": "Hello"}},
        {"type": "tool_use", "part": tool},
        {"type": "tool_use", "part": edit},
        {"type": "step_finish", "part": {"tokens": {"input": 10, "output": 2}, "cost": 99}},
        {"type": "error", "error": {"name": "APIError"}},
    ) == [
        ("message", {"text": "Hello"}),
        ("tool_call", {"id": "c1", "name": "bash", "command": "ls"}),
        ("tool_output", {"id": "c1", "text": "a\n", "code": 0}),
        ("tool_call", {"id": "c2", "name": "edit", "command": '{"filePath":"x"}'}),
        ("tool_output", {"id": "c2", "text": "no such file", "code": None}),
        ("usage", {"prompt_tokens": 10, "completion_tokens": 2}),
        ("notice", {"code": "engine_error", "text": '{"name":"APIError"}'}),
    ]


@pytest.mark.parametrize(
    "line", [b"Downloading\xff", b"[]", b"7", b'{"type": "news"}', b'{"type": "tool_use", "part": 7}', b""]
)
@pytest.mark.parametrize("name", sorted(READY))
def test_what_is_not_understood_is_no_fault(name: str, line: bytes) -> None:
    assert list(CommandLine(READY[name], Path("/nowhere")).read(line))


def test_engines_are_those_that_the_operator_installed() -> None:
    assert set(engines_of(Agents())) == {"native"}
    configured = Agents.model_validate({"engines": {"opencode": {"folder": "/opt/opencode"}}})
    assert set(engines_of(configured)) == {"native", "opencode"}
    with pytest.raises(SettingsError, match="perhaps"):
        engines_of(Agents.model_validate({"engines": {"perhaps": {"folder": "/x"}}}))


@needs_bubblewrap
@pytest.mark.anyio
async def test_a_program_that_ignores_sigterm_and_lies_about_its_end(root: Path, tmp_path: Path) -> None:
    """Its code says that all went well; what counts is that the gateway refused, and the grace."""
    folder = tmp_path / "engine" / "bin"
    folder.mkdir(parents=True)
    program = folder / "roo"
    program.write_text(
        "#!/usr/bin/python3\n"
        "import json, os, signal, sys, time, urllib.error, urllib.request\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "assert open(sys.argv[-1]).read().endswith('Make the tests pass.')\n"
        "print(json.dumps({'type': 'assistant', 'content': os.getcwd()}), flush=True)\n"
        "body = json.dumps({'model': 'up'}).encode()\n"
        "while True:\n"
        "    try:\n"
        "        urllib.request.urlopen(os.environ['OPENAI_BASE_URL'] + '/chat/completions', body)\n"
        "    except urllib.error.HTTPError as error:\n"
        "        print(error.code, flush=True)\n"
        "    time.sleep(0.05)\n"
    )
    program.chmod(0o755)
    from support.upstream import Exchange, fake_upstream  # noqa: PLC0415 -- the others need none

    async def refuse(exchange: Exchange) -> None:
        await exchange.answer({"error": {"message": "No.", "type": "insufficient_credits"}}, 402)
        exchange.close()

    async with fake_upstream() as upstream:
        upstream.script = refuse
        async with box(root, gateway_url=upstream.url.removesuffix("/v1"), models=("up",)) as sandbox:
            await cloned(sandbox, repository(tmp_path / "sums", SUMS))
            engine = CommandLine(READY["roo"], folder.parent)
            done = await driven(sandbox, TURN, engine, model="up")

    assert done.finish == "out_of_credits"
    assert done.texts("message") == ["/work"]
    assert "402" in done.texts("log")
