"""Sandboxes of a test's own, repositories to work on, and a gateway to call."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pouch.agents.engines.driving import Driving, drive
from pouch.agents.engines.native import Native
from pouch.agents.engines.types import Engine, Event, Finish, Turn
from pouch.agents.sandboxes.bubblewrap import Bubblewrap
from pouch.agents.sandboxes.cloning import Sources, clone
from pouch.agents.sandboxes.host import HostSandbox, Outside
from pouch.agents.sandboxes.types import MIB, Command, Ending, GatewayAccess, Limits, Notice, Phase, Repository, RunSpec

RUN_KEY = "sk-run-real"
SMALL = Limits(
    memory_bytes=256 * MIB,
    processes=64,
    cpu_millis=2000,
    disk_bytes=64 * MIB,
    tmp_bytes=16 * MIB,
    file_bytes=32 * MIB,
)

needs_bubblewrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="only where bubblewrap is installed")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only as root, who can give each sandbox its own account")


@contextmanager
def places() -> Iterator[Path]:
    """A folder that every account may pass, as the places of sandboxes need it."""
    folder = Path(tempfile.mkdtemp(prefix="pouch-places-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@dataclass
class Ran:
    """What a program in a sandbox did."""

    out: str
    err: str
    ending: Ending

    @property
    def said(self) -> str:
        return self.out + self.err


@dataclass
class Box:
    """A sandbox, and what it told while it was there."""

    sandbox: HostSandbox
    notices: list[Notice] = field(default_factory=list)
    listeners: list[Callable[[Notice], object]] = field(default_factory=list)

    def hear(self, notice: Notice) -> None:
        self.notices.append(notice)
        for listener in self.listeners:
            listener(notice)

    @property
    def work(self) -> Path:
        """The workspace, seen from outside."""
        return self.sandbox.place.part("work")

    @property
    def pids(self) -> set[int]:
        """Every process of the sandbox's own account that has not ended."""
        uid = self.sandbox.place.account.uid
        found: set[int] = set()
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                text = status.read_text()
                if f"\nUid:\t{uid}\t" in text and "\nState:\tZ" not in text:
                    found.add(int(status.parent.name))
        return found

    async def run(
        self,
        *argv: str,
        phase: Phase = "agent",
        given: bytes = b"",
        timeout_s: float = 30,
        output_bytes_max: int = 8 * MIB,
        environment: Mapping[str, str] | None = None,
    ) -> Ran:
        command = Command(argv, phase, timeout_s, environment=environment or {}, output_bytes_max=output_bytes_max)
        process = await self.sandbox.execute(command)
        await process.send(given)
        await process.end_input()
        said = {"out": b"", "err": b""}
        async for piece in process.output():
            said[piece.stream] += piece.data
        ending = await process.wait()
        return Ran(said["out"].decode(errors="replace"), said["err"].decode(errors="replace"), ending)

    async def bash(self, line: str, **options: Any) -> Ran:
        return await self.run("/bin/bash", "-c", line, **options)

    async def python(self, program: str, **options: Any) -> Ran:
        return await self.run("/usr/bin/python3", "-c", program, **options)


@asynccontextmanager
async def box(
    root: Path,
    *,
    name: str = "run-1",
    gateway_url: str = "http://127.0.0.1:9",
    models: tuple[str, ...] = ("pouch/coder",),
    limits: Limits = SMALL,
    outside: Outside | None = None,
    **options: Any,
) -> AsyncIterator[Box]:
    """A sandbox for the length of the block."""
    backend = Bubblewrap(root, outside=outside)
    spec = RunSpec(name, GatewayAccess(gateway_url, RUN_KEY, models), limits, **options)
    heard: list[Notice] = []
    found: list[Box] = []
    sandbox = await backend.prepare(spec, lambda notice: found[0].hear(notice) if found else heard.append(notice))
    found.append(Box(sandbox, heard))
    try:
        yield found[0]
    finally:
        await sandbox.destroy()


def git(folder: Path, *words: str) -> str:
    """Run git on a repository of the test's own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_NAME": "Alice",
        "GIT_AUTHOR_EMAIL": "alice@example.com",
        "GIT_COMMITTER_NAME": "Alice",
        "GIT_COMMITTER_EMAIL": "alice@example.com",
    }
    done = subprocess.run(["git", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"git {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def repository(folder: Path, files: Mapping[str, str]) -> Path:
    """A repository with one commit on main."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


def is_passing(folder: Path) -> bool:
    """Whether the repository's own tests pass."""
    done = subprocess.run(
        ["/usr/bin/python3", "-B", "-m", "unittest", "-q"], cwd=folder, capture_output=True, check=False
    )
    return done.returncode == 0


GREETING = {
    "README.md": "# A greeting\n",
    "test_hello.py": (
        "import subprocess, sys, unittest\n\n\n"
        "class Greeting(unittest.TestCase):\n"
        "    def test_it_greets(self):\n"
        '        done = subprocess.run([sys.executable, "hello.py"], capture_output=True, text=True)\n'
        '        self.assertEqual(done.stdout, "Hello from Pouch\\n")\n'
    ),
}
"""What `pouch/coder` mends."""

SUMS = {
    "sums.py": "def add(a, b):\n    return a - b\n",
    "test_sums.py": (
        "import unittest\nfrom sums import add\n\n\n"
        "class Sums(unittest.TestCase):\n    def test_it_adds(self):\n        self.assertEqual(add(2, 3), 5)\n"
    ),
}
"""What the scripted upstream of a test mends."""


async def cloned(box: Box, folder: Path) -> str:
    """Clone a local repository into a sandbox: the commit it begins with."""
    found = await clone(box.sandbox, Repository(str(folder)), Sources(local_roots=[folder.parent]))
    return found.base_sha


TURN = Turn(kind="coder", task="Make the tests pass.", model="pouch/coder", may_write=True, timeout_s=60)


@dataclass
class Driven:
    """A turn that is over."""

    events: list[Event]
    finish: Finish

    def texts(self, kind: str, field_name: str = "text") -> list[Any]:
        return [event.data.get(field_name) for event in self.events if event.type == kind]


async def driven(box: Box, turn: Turn = TURN, engine: Engine | None = None, **changes: Any) -> Driven:
    """Drive an engine through a turn to its end."""
    driving = await drive(box.sandbox, engine or Native(), replace(turn, **changes))
    return await to_end(box, driving)


async def to_end(box: Box, driving: Driving) -> Driven:
    """Read everything of an engine at work; what the sandbox sees is passed on at once, as the runs do it."""
    for notice in box.notices:
        driving.notice(notice)
    box.listeners.append(driving.notice)
    events = [event async for event in driving.events()]
    return Driven(events, driving.finish)


def calls(*commands: str) -> dict[str, object]:
    """An assistant's message that runs commands, as a non-streamed completion has it."""
    return {
        "tool_calls": [
            {
                "index": index,
                "id": f"call_{index}",
                "type": "function",
                "function": {"name": "bash", "arguments": json.dumps({"command": command})},
            }
            for index, command in enumerate(commands)
        ]
    }
