import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pouch.agents.engines.driving import drive
from pouch.agents.engines.native import Native
from pouch.agents.engines.types import Turn
from pouch.agents.sandboxes.restoring import restore
from pouch.agents.sandboxes.saving import save
from pouch.agents.sandboxes.types import Command
from pouch.embedded.models import TestModelServer
from support.sandboxes import (
    GREETING,
    RUN_KEY,
    SUMS,
    TURN,
    Driven,
    box,
    calls,
    cloned,
    driven,
    git,
    is_passing,
    needs_bubblewrap,
    repository,
    to_end,
)
from support.serving import serving
from support.upstream import Exchange, FakeUpstream, chunk, fake_upstream, usage, usage_chunk

pytestmark = [pytest.mark.anyio, needs_bubblewrap]


@pytest.fixture
async def test_models() -> AsyncIterator[str]:
    async with serving(TestModelServer(RUN_KEY)) as url:
        yield url


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with fake_upstream() as upstream:
        yield upstream


def address(upstream: FakeUpstream) -> str:
    return upstream.url.removesuffix("/v1")


def turn_of(model: str) -> Turn:
    return replace(TURN, model=model)


def plays(upstream: FakeUpstream, messages: Sequence[dict[str, object]]) -> None:
    """Answer each call with the next of the messages, and the last one for ever."""
    left = list(messages)

    async def script(exchange: Exchange) -> None:
        assert exchange.headers["authorization"] == f"Bearer {RUN_KEY}"
        message = left.pop(0) if len(left) > 1 else left[0]
        finish = "tool_calls" if "tool_calls" in message else "stop"
        await exchange.stream([chunk(message), chunk({}, finish), usage_chunk(usage(7, 3)), b"[DONE]"])

    upstream.script = script


async def test_the_coder_with_the_test_model_makes_a_real_commit_with_passing_tests(
    root: Path, tmp_path: Path, test_models: str
) -> None:
    source = repository(tmp_path / "greeting", GREETING)
    assert not is_passing(source)

    async with box(root, gateway_url=test_models) as sandbox:
        base = await cloned(sandbox, source)
        done = await driven(sandbox)
        saved = await save(sandbox.sandbox, base, "agent/run-1", tmp_path / "saved")

    assert done.finish == "finished", done.events
    assert base == git(source, "rev-parse", "HEAD")
    assert [commit.subject for commit in saved.commits] == ["Print a greeting"]
    assert [(file.path, file.added, file.removed) for file in saved.files] == [("hello.py", 1, 0)]
    assert not saved.was_unfinished
    assert saved.bundle is not None
    git(source, "fetch", "-q", str(saved.bundle), "agent/run-1:agent/run-1")
    assert git(source, "rev-parse", "agent/run-1") == saved.head_sha
    assert git(source, "rev-parse", "agent/run-1~1") == base
    git(source, "checkout", "-q", "agent/run-1")
    assert is_passing(source)


async def test_another_model_mends_another_repository(root: Path, tmp_path: Path, upstream: FakeUpstream) -> None:
    source = repository(tmp_path / "sums", SUMS)
    assert not is_passing(source)
    plays(
        upstream,
        [
            calls("cat sums.py; python3 -m unittest 2>&1 | tail -3"),
            {"content": "It subtracts.", **calls("sed -i 's/a - b/a + b/' sums.py", "python3 -m unittest -q")},
            calls("git commit -qam 'Add instead of subtracting'"),
            calls("submit 'It adds now.'"),
        ],
    )

    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        base = await cloned(sandbox, source)
        done = await driven(sandbox, model="up")
        saved = await save(sandbox.sandbox, base, "agent/sums", tmp_path / "saved")

    assert done.finish == "finished"
    assert done.texts("message") == ["It subtracts.", "It adds now."]
    assert done.texts("tool_output", "code") == [0, 0, 0, 0]
    assert done.texts("usage", "prompt_tokens") == [7, 7, 7, 7]
    assert [event.data["action"] for event in done.events if event.type == "git"] == ["checkpoint"]
    assert saved.patch is not None
    git(source, "apply", str(saved.patch))
    assert git(source, "diff", "--stat").endswith("1 file changed, 1 insertion(+), 1 deletion(-)")
    assert is_passing(source)


async def test_work_that_was_not_committed_is_saved_too(root: Path, tmp_path: Path, upstream: FakeUpstream) -> None:
    source = repository(tmp_path / "sums", SUMS)
    plays(upstream, [calls("echo new > new.txt; rm sums.py"), {"content": "I am tired."}, {"content": "Really."}])

    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        base = await cloned(sandbox, source)
        done = await driven(sandbox, model="up")
        saved = await save(sandbox.sandbox, base, "agent/sums", tmp_path / "saved")

    assert done.finish == "finished"
    assert saved.was_unfinished
    assert [file.path for file in saved.files] == ["new.txt", "sums.py"]


async def test_a_gateway_that_is_away_for_a_while_is_waited_for_and_that_is_said(
    root: Path, tmp_path: Path, upstream: FakeUpstream
) -> None:
    """`serve` is restarted while the agent works: nothing listens there, and then it does again."""
    source = repository(tmp_path / "sums", SUMS)
    plays(upstream, [calls("submit 'It is done.'")])
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as free:
        port = free.sockets[0].getsockname()[1]
    there = address(upstream).rpartition(":")[2]

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, calls_ = await asyncio.open_connection("127.0.0.1", int(there))
        await asyncio.gather(_pump(reader, calls_), _pump(answers, writer))

    is_away = asyncio.Event()
    async with box(root, gateway_url=f"http://127.0.0.1:{port}", models=("up",)) as sandbox:
        sandbox.listeners.append(lambda notice: is_away.set() if notice.kind == "gateway_away" else None)
        await cloned(sandbox, source)
        working = asyncio.ensure_future(driven(sandbox, model="up"))
        await is_away.wait()
        async with await asyncio.start_server(pass_on, "127.0.0.1", port):
            done = await working
    assert done.finish == "finished", done.events
    assert [notice.kind for notice in sandbox.notices] == ["gateway_away", "gateway_back"]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def test_an_agent_that_takes_the_repository_away_loses_nothing(
    root: Path, tmp_path: Path, upstream: FakeUpstream
) -> None:
    source = repository(tmp_path / "sums", SUMS)
    plays(upstream, [calls("rm -rf .git; echo kept > kept.txt"), calls("submit ''")])

    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        base = await cloned(sandbox, source)
        await driven(sandbox, model="up")
        saved = await save(sandbox.sandbox, base, "agent/sums", tmp_path / "saved")

    assert [file.path for file in saved.files] == ["kept.txt"]


async def test_every_step_is_kept_on_a_hidden_ref(root: Path, tmp_path: Path, upstream: FakeUpstream) -> None:
    source = repository(tmp_path / "sums", SUMS)
    plays(upstream, [calls("echo one > one"), calls("echo two > two"), calls("git clean -fdq"), calls("submit x")])

    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        await cloned(sandbox, source)
        await driven(sandbox, model="up")
        log = await sandbox.bash("git log --format=%s refs/pouch/checkpoint -1; git branch --all; git status --short")

    assert log.out.splitlines()[0] == "Step 3"
    assert "pouch" not in log.out


async def test_the_gateways_402_ends_the_run_as_out_of_credits(
    root: Path, tmp_path: Path, upstream: FakeUpstream
) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.answer({"error": {"message": "No credits left.", "type": "insufficient_credits"}}, 402)

    upstream.script = refuse
    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        await cloned(sandbox, repository(tmp_path / "sums", SUMS))
        done = await driven(sandbox, model="up")

    assert done.finish == "out_of_credits"
    assert upstream.connections == 1, "it was not asked again"
    assert [(notice.kind, notice.code) for notice in sandbox.notices] == [("refused", "insufficient_credits")]


async def test_an_engine_that_claims_to_be_out_of_credits_is_not_believed(root: Path) -> None:
    class Liar(Native):
        def command(self, turn: Turn) -> Command:
            return Command(("/bin/bash", "-c", "exit 75"), "agent", turn.timeout_s)

    async with box(root) as sandbox:
        done = await driven(sandbox, engine=Liar())

    assert done.finish == "failed"


async def test_a_busy_gateway_is_asked_again(root: Path, tmp_path: Path, upstream: FakeUpstream) -> None:
    answers = [503, 429]

    async def script(exchange: Exchange) -> None:
        if answers:
            await exchange.answer({"error": {"message": "busy"}}, answers.pop(0), "retry-after: 0\r\n")
        else:
            await exchange.stream([chunk(calls("submit done")), chunk({}, "tool_calls"), b"[DONE]"])

    upstream.script = script
    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        await cloned(sandbox, repository(tmp_path / "sums", SUMS))
        done = await driven(sandbox, model="up")

    assert done.finish == "finished"
    assert len(upstream.seen) == 3


async def test_an_agent_that_goes_in_circles_is_warned_then_ended(
    root: Path, tmp_path: Path, upstream: FakeUpstream
) -> None:
    plays(upstream, [calls("false")])
    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        await cloned(sandbox, repository(tmp_path / "sums", SUMS))
        done = await driven(sandbox, model="up")

    assert done.finish == "repeating"
    assert len(upstream.seen) == 5
    assert "You did this before" in str(upstream.seen[3]["messages"][-1]["content"])


async def test_steps_have_a_cap(root: Path, tmp_path: Path, upstream: FakeUpstream) -> None:
    plays(upstream, [calls("date +%N")])
    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        await cloned(sandbox, repository(tmp_path / "sums", SUMS))
        done = await driven(sandbox, model="up", steps_max=4)

    assert (done.finish, len(upstream.seen)) == ("step_limit", 4)


async def test_a_long_output_is_cut_in_the_middle(root: Path, tmp_path: Path, upstream: FakeUpstream) -> None:
    plays(upstream, [calls("seq 1 100000"), calls("submit x")])
    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        await cloned(sandbox, repository(tmp_path / "sums", SUMS))
        done = await driven(sandbox, model="up")

    (text,) = done.texts("tool_output")
    assert text.startswith("1\n2\n")
    assert text.endswith("99999\n100000\n")
    assert "bytes left out" in text
    assert len(text) < 25_000
    assert len(upstream.seen[1]["messages"][-1]["content"]) < 25_000


async def test_a_message_of_the_person_reaches_the_model(root: Path, tmp_path: Path, upstream: FakeUpstream) -> None:
    plays(upstream, [calls("sleep 0.5"), calls("submit x")])
    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        await cloned(sandbox, repository(tmp_path / "sums", SUMS))
        driving = await drive(sandbox.sandbox, Native(), turn_of("up"))
        assert await driving.say("Also look at the README.")
        done = await to_end(sandbox, driving)

    assert done.finish == "finished"
    said = [message["content"] for message in upstream.seen[-1]["messages"] if message["role"] == "user"]
    assert said[-1] == "Also look at the README."


async def test_stop_ends_it_in_the_middle_of_a_command(root: Path, tmp_path: Path, upstream: FakeUpstream) -> None:
    plays(upstream, [calls("echo begun > begun; sleep 60")])
    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        base = await cloned(sandbox, repository(tmp_path / "sums", SUMS))
        driving = await drive(sandbox.sandbox, Native(), turn_of("up"))
        reading = asyncio.create_task(to_end(sandbox, driving))
        while not (sandbox.work / "begun").exists():
            await asyncio.sleep(0.02)
        begun = asyncio.get_running_loop().time()
        await driving.stop(10)
        done: Driven = await reading
        took_s = asyncio.get_running_loop().time() - begun
        saved = await save(sandbox.sandbox, base, "agent/sums", tmp_path / "saved")

    assert done.finish == "stopped"
    assert took_s < 5
    assert [file.path for file in saved.files] == ["begun"]


async def test_an_interrupted_run_goes_on_with_its_work_and_its_conversation(
    root: Path, tmp_path: Path, upstream: FakeUpstream
) -> None:
    source = repository(tmp_path / "sums", SUMS)
    plays(upstream, [calls("sed -i 's/a - b/a + b/' sums.py"), calls("date +%N")])
    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        base = await cloned(sandbox, source)
        first = await driven(sandbox, model="up", steps_max=2)
        saved = await save(sandbox.sandbox, base, "agent/sums", tmp_path / "saved")
    assert first.finish == "step_limit"

    plays(upstream, [calls("python3 -m unittest -q && submit 'It adds.'"), calls("submit 'It adds.'")])
    async with box(root, name="run-2", gateway_url=address(upstream), models=("up",)) as sandbox:
        assert await cloned(sandbox, source) == base
        await restore(sandbox.sandbox, saved.bundle, saved.branch, saved.session)
        second = await driven(sandbox, model="up", resume=True, task="Go on.")

    assert second.finish == "finished"
    assert second.texts("tool_output", "code") == [127], "the tests passed, then “submit” was no command of bash"
    roles = [message["role"] for message in upstream.seen[2]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool", "user"]


async def test_the_repositorys_rules_are_in_the_prompt(root: Path, tmp_path: Path, upstream: FakeUpstream) -> None:
    rules = {"AGENTS.md": "Tabs, please.", ".roo/rules/a.md": "Be kind.", ".roo/rules-code/b.md": "Test first."}
    plays(upstream, [calls("submit x")])
    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        await cloned(sandbox, repository(tmp_path / "sums", SUMS | rules))
        await driven(sandbox, model="up", instructions="Our house style.")

    system = upstream.seen[0]["messages"][0]["content"]
    for text in ("You are the Coder", "Our house style.", "Tabs, please.", "Be kind.", "Test first."):
        assert text in system


async def test_a_reader_cannot_write_and_answers_with_text(root: Path, tmp_path: Path, upstream: FakeUpstream) -> None:
    plays(upstream, [calls("echo x > x; git commit --allow-empty -m x"), {"content": "It subtracts, in sums.py:2."}])
    async with box(root, gateway_url=address(upstream), models=("up",), may_write=False) as sandbox:
        await cloned(sandbox, repository(tmp_path / "sums", SUMS))
        done = await driven(sandbox, model="up", kind="explainer", may_write=False)

    assert done.finish == "finished"
    assert "Read-only file system" in done.texts("tool_output")[0]
    assert done.texts("message") == ["It subtracts, in sums.py:2."]


async def test_it_needs_less_than_100_megabytes(root: Path, tmp_path: Path, upstream: FakeUpstream) -> None:
    look = "for each in /proc/[0-9]*; do grep -q native.py $each/cmdline && grep VmHWM $each/status; done"
    plays(upstream, [calls("seq 1 1000000"), calls(look), calls("submit x")])
    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        await cloned(sandbox, repository(tmp_path / "sums", SUMS))
        done = await driven(sandbox, model="up")

    peaks_kb = [int(line.split()[1]) for line in done.texts("tool_output")[1].splitlines() if "VmHWM" in line]
    print(f"peak {max(peaks_kb)} kB")
    assert max(peaks_kb) < 100_000


async def test_it_asks_and_goes_on_with_the_answer(root: Path, tmp_path: Path, upstream: FakeUpstream) -> None:
    plays(upstream, [calls("ask 'Tabs or spaces?'"), calls("submit x")])
    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        await cloned(sandbox, repository(tmp_path / "sums", SUMS))
        first = await driven(sandbox, model="up", may_ask=True)
        second = await driven(sandbox, model="up", may_ask=True, resume=True, task="Tabs.")

    assert (first.finish, second.finish) == ("asks", "finished")
    assert [event.data["text"] for event in first.events if event.data.get("is_question")] == ["Tabs or spaces?"]
    talk = [(message["role"], message.get("content")) for message in upstream.seen[1]["messages"][2:]]
    assert talk[1:] == [("tool", "Asked. The answer is the next message."), ("user", "Tabs.")]


async def test_where_nobody_can_answer_it_is_told_so(root: Path, tmp_path: Path, upstream: FakeUpstream) -> None:
    plays(upstream, [calls("ask 'Tabs or spaces?'"), calls("submit x")])
    async with box(root, gateway_url=address(upstream), models=("up",)) as sandbox:
        await cloned(sandbox, repository(tmp_path / "sums", SUMS))
        done = await driven(sandbox, model="up")

    assert done.finish == "finished"
    assert "Nobody is there to answer" in upstream.seen[1]["messages"][-1]["content"]
