"""What the load can be sent to: the mock itself, Pouch, and its peers; each is started on a core of its own."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from bench.parts.machine import on_core

from pouch.base.database import Database
from pouch.base.money import Money
from pouch.catalog.apply import apply
from pouch.identity.keys import add_key
from pouch.identity.people import add_person
from pouch.ledger.grants import grant
from pouch.settings import File

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 15
PLENTY = Money.parse("1000000")


@dataclass(frozen=True, slots=True)
class Target:
    """Where chat completions can be asked for, and the process whose time counts."""

    name: str
    port: int
    pid: int
    path: str = "/v1/chat/completions"
    model: str = "mock"
    key: str = "sk-bench"


@contextmanager
def started(
    command: Sequence[str], log: Path, *, core: int | None, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block."""
    with log.open("ab") as output, on_core(core):
        process = subprocess.Popen(
            command, env=os.environ | dict(environment or {}), cwd=ROOT, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def until_answering(target: Target, process: subprocess.Popen[bytes], log: Path) -> Target:
    """Wait until the target answers a chat completion. Raises TimeoutError, with what it wrote, when it does not."""
    deadline = time.monotonic() + START_TIMEOUT_S
    body = {"model": target.model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 16}
    headers = {"authorization": f"Bearer {target.key}"}
    told = "nothing"
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                answer = await client.post(f"http://127.0.0.1:{target.port}{target.path}", json=body, headers=headers)
            except httpx.HTTPError as error:
                told = repr(error)
            else:
                if answer.status_code == 200:
                    return target
                told = answer.text[:500]
            await asyncio.sleep(0.1)
    raise TimeoutError(f"{target.name} does not answer: {told}\n{log.read_text(errors='replace')[-2000:]}")


@asynccontextmanager
async def mock(folder: Path, *, core: int | None) -> AsyncIterator[Target]:
    """The mock upstream, asked directly."""
    with started([sys.executable, "-P", "-m", "bench.parts.mock"], log := folder / "mock.log", core=core) as process:
        while not (told := log.read_text().split()):  # noqa: ASYNC110 -- the program writes its port there
            await asyncio.sleep(0.02)
        yield await until_answering(Target("direct", int(told[0]), process.pid), process, log)


@asynccontextmanager
async def pouch(folder: Path, url: str, upstream: Target, *, core: int | None) -> AsyncIterator[Target]:
    """`pouch serve` on a database, with one person, who pays with a key that has a limit."""
    key = await _furnish(url, upstream)
    port = free_port()
    environment = {
        "POUCH_DATABASE_URL": url,
        "POUCH_PORT": str(port),
        "POUCH_DATA_DIR": str(folder / "data"),
        "POUCH_CONFIG": str(folder / "pouch.toml"),
    }
    (folder / "data").mkdir(exist_ok=True)
    # One person makes every call here; the calls of a minute are counted all the same.
    (folder / "pouch.toml").write_text("[limits]\nrequests_per_minute = 10_000_000\n")
    command = [sys.executable, "-P", "-m", "pouch.cli", "serve"]
    with started(command, log := folder / "pouch.log", core=core, environment=environment) as process:
        yield await until_answering(Target("Pouch", port, process.pid, key=key), process, log)


async def _furnish(url: str, upstream: Target) -> str:
    """Put the mock on sale and make somebody who can pay: the secret of their key."""
    model: dict[str, object] = {"id": "mock", "upstream": "mock", "upstream_model": "mock", "name": "Mock"}
    model |= {"context_window": 128_000, "max_tokens": 4_096, "price": {"input": "0.25", "output": "2.00"}}
    upstreams = [{"id": "mock", "base_url": f"http://127.0.0.1:{upstream.port}/v1"}]
    file = File.model_validate({"upstreams": upstreams, "models": [model]})
    async with Database(url) as database, database.transaction() as db:
        await apply(db, file, source="bench")
        alice = await add_person(db, "alice@example.com", None, verified=True)
        _, secret = await add_key(db, alice, "bench", limit=PLENTY)
        await grant(db, alice.organization_id, PLENTY, key="bench", note="To begin with")
    return secret


def free_port() -> int:
    """A loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
