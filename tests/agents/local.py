"""A workshop without walls, for tests: each attempt has a folder, a real git clone and real processes in it.

The agent is a Python program of the test's. It says what it does as lines of JSON, {"type": …, …}, hears messages as
lines on its standard input, and calls the gateway with OPENAI_BASE_URL and OPENAI_API_KEY.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from pouch.agents.engines.types import Engine, Event, EventType, Finish, Turn
from pouch.agents.sandboxes.errors import CloneFailed, SaveFailed
from pouch.agents.sandboxes.layers import LayerName
from pouch.agents.sandboxes.types import (
    Cloned,
    Command,
    FileChange,
    Notice,
    Notify,
    Process,
    Repository,
    RunSpec,
    Sandbox,
    Saved,
    SavedCommit,
)
from pouch.agents.workshop import Before, OnEvent, SetupFailed

GIT = ("git", "-c", "user.name=Agent", "-c", "user.email=agent@harbor.example")
_FINISHES: dict[int, Finish] = {
    0: "finished",
    75: "out_of_credits",
    76: "stopped",
    77: "step_limit",
    78: "repeating",
    79: "asks",
}


@dataclass
class LocalSandbox:
    """A folder and the processes that were started in it."""

    spec: RunSpec
    folder: Path
    notify: Notify
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)
    is_destroyed: bool = False

    async def start(self, argv: Sequence[str], environment: Mapping[str, str]) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=self.folder / "work",
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.spec.environment, **environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    async def execute(self, command: Command) -> Process:
        raise NotImplementedError(command)

    async def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    async def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    async def stop(self, grace_s: float) -> None:
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                for each in self.processes:
                    await each.wait()
        self._signal(signal.SIGKILL)
        for each in self.processes:
            await each.wait()

    async def leave(self) -> None:
        return

    async def destroy(self) -> None:
        self.is_destroyed = True
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        for each in self.processes:
            if each.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(each.pid, number)


@dataclass
class LocalDriving:
    """The agent's process on one turn."""

    sandbox: LocalSandbox
    process: asyncio.subprocess.Process
    on_event: OnEvent

    async def wait(self) -> Finish:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.on_event(_event(line))
        return _FINISHES.get(await self.process.wait(), "failed")

    async def say(self, text: str) -> bool:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(text).encode() + b"\n")
        await self.process.stdin.drain()
        return True

    async def stop(self, grace_s: float) -> None:
        await self.sandbox.stop(grace_s)


@dataclass
class LocalWorkshop:
    """`agent` is the program; `folder` where the attempts' folders are made. What it did is there to look at."""

    folder: Path
    agent: str
    name: str = "local"
    saves_fail: bool = False
    sandboxes: list[LocalSandbox] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    layers: list[LayerName] = field(default_factory=list)
    secrets: Sequence[str] = ()
    """What had to be kept out of the last save."""
    on_prepare: Callable[[], Awaitable[None]] | None = None
    on_turn: Callable[[Turn], Awaitable[None]] | None = None
    """Called before each turn."""

    @property
    def disk(self) -> str:
        return str(self.folder)

    async def leftovers(self) -> Sequence[str]:
        return sorted(each.name for each in self.folder.iterdir())

    async def facts(self) -> Mapping[str, object]:
        return {"safe": False}

    async def prepare(self, spec: RunSpec, notify: Notify) -> Sandbox:
        if self.on_prepare is not None:
            await self.on_prepare()
        (self.folder / spec.name / "work").mkdir(parents=True)
        sandbox = LocalSandbox(spec, self.folder / spec.name, notify)
        self.sandboxes.append(sandbox)
        return sandbox

    async def adopt(self, spec: RunSpec, notify: Notify) -> Sandbox | None:
        folder = self.folder / spec.name
        return LocalSandbox(spec, folder, notify) if folder.exists() else None

    async def fetch(self, sandbox: Sandbox, repository: Repository, branch: str, before: Before) -> Cloned:
        work = cast("LocalSandbox", sandbox).folder / "work"
        await _run(work.parent, "git", "clone", "-q", repository.address, "work", wrong=CloneFailed)
        base = before.base_sha or await _run(work, "git", "rev-parse", "HEAD")
        if before.bundle is not None:
            await _run(work, "git", "fetch", "-q", str(before.bundle), branch)
            await _run(work, "git", "checkout", "-q", "-B", branch, "FETCH_HEAD")
        else:
            await _run(work, "git", "checkout", "-q", "-B", branch, base)
        if before.session is not None:
            shutil.copy(before.session, work.parent / "session")
        (work.parent / "base").write_text(base)
        return Cloned(base, repository.ref)

    async def set_up(self, sandbox: Sandbox, commands: Sequence[str], on_event: OnEvent) -> None:
        local = cast("LocalSandbox", sandbox)
        for command in commands:
            process = await local.start(["sh", "-c", command], dict(local.spec.setup_secrets))
            said, _ = await process.communicate()
            on_event(Event("setup_log", {"command": command, "text": said.decode(), "code": process.returncode}))
            if process.returncode:
                raise SetupFailed

    async def recall(self, sandbox: Sandbox, name: LayerName) -> bool:
        del sandbox
        return name in self.layers

    async def remember(self, sandbox: Sandbox, name: LayerName) -> None:
        del sandbox
        self.layers.append(name)

    def engine(self, name: str) -> Engine | None:
        return cast("Engine", LocalEngine()) if name == "native" else None

    async def drive(self, sandbox: Sandbox, engine: Engine, turn: Turn, on_event: OnEvent) -> LocalDriving:
        del engine
        self.turns.append(turn)
        if self.on_turn is not None:
            await self.on_turn(turn)
        local = cast("LocalSandbox", sandbox)
        environment = {
            "OPENAI_BASE_URL": f"{local.spec.gateway.url}/v1",
            "OPENAI_API_KEY": local.spec.gateway.key,
            "MODEL": turn.model,
            "TASK": turn.task,
            "RESUME": "1" if turn.resume else "",
            **local.spec.run_secrets,
        }
        process = await local.start([sys.executable, "-I", "-u", "-c", self.agent], environment)
        return LocalDriving(local, process, on_event)

    async def note_made(self, sandbox: Sandbox) -> None:
        """A folder has no walls, so nothing is written down here: see tests/agents/test_set_up_work.py."""

    async def save(
        self, sandbox: Sandbox, folder: Path, base_sha: str, branch: str, *, secrets: Sequence[str]
    ) -> Saved:
        self.secrets = secrets
        if self.saves_fail:
            raise SaveFailed("The disk is full.")
        work = cast("LocalSandbox", sandbox).folder / "work"
        base = base_sha or (work.parent / "base").read_text()
        await _run(work, "git", "add", "-A")
        was_unfinished = bool(await _run(work, "git", "status", "--porcelain"))
        if was_unfinished:
            await _run(work, *GIT, "commit", "-q", "-m", "WIP")
        head = await _run(work, "git", "rev-parse", "HEAD")
        if head == base:
            return Saved(base, head, branch, None, None, None)
        bundle, patch, session = folder / "bundle", folder / "patch", folder / "session"
        await _run(work, "git", "bundle", "create", "-q", str(bundle), branch, f"^{base}")
        patch.write_text(await _run(work, "git", "diff", base, head) + "\n")
        own = work.parent / "session.json"
        session.write_text(own.read_text() if own.exists() else "the talk so far")
        numbers = (await _run(work, "git", "diff", "--numstat", base, head)).splitlines()
        files = tuple(FileChange(path, int(a), int(r)) for a, r, path in (line.split("\t") for line in numbers))
        log = (await _run(work, "git", "log", "--reverse", "--format=%H %s", f"{base}..{head}")).splitlines()
        commits = tuple(SavedCommit(*line.split(" ", 1)) for line in log)
        return Saved(base, head, branch, bundle, patch, session, files, commits, was_unfinished)


class LocalEngine:
    """Not asked: the workshop without walls drives its agents itself."""

    name = "native"

    def command(self, turn: Turn) -> Command:
        raise NotImplementedError(turn)

    def read(self, line: bytes) -> Iterable[Event]:
        return [_event(line)]

    def follow_up(self, text: str) -> bytes | None:
        return text.encode()

    def stop_request(self) -> bytes | None:
        return None

    def finish(self, code: int) -> Finish:
        return _FINISHES.get(code, "failed")


async def sample_repository(folder: Path) -> str:
    """A repository with one commit; its address."""
    folder.mkdir(parents=True)
    await _run(folder, "git", "init", "-q", "-b", "main")
    (folder / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    await _run(folder, "git", "add", "-A")
    await _run(folder, *GIT, "commit", "-q", "-m", "Begin")
    return str(folder)


def refused(sandbox: LocalSandbox, code: str) -> None:
    """What the relay says when the gateway refuses a call."""
    sandbox.notify(Notice("refused", "The gateway refused a call.", 402, code))


def _event(line: bytes) -> Event:
    try:
        said = json.loads(line)
    except ValueError:
        return Event("log", {"text": line.decode("utf-8", "replace").rstrip("\n")})
    return Event(cast("EventType", said.pop("type")), said)


async def _run(folder: Path, *argv: str, wrong: type[Exception] = SaveFailed) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, error = await process.communicate()
    if process.returncode:
        raise wrong(error.decode())
    return said.decode().strip()
