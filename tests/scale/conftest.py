"""A Pouch with an upstream of ours, and a second `serve` on its database."""

import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest

from scale.crowd import Crowd, crowd
from scale.far_end import answer, toml
from support.pouch import STOP_TIMEOUT_S, RunningPouch, command, quiet_port, until
from support.upstream import FakeUpstream, fake_upstream
from support.whole import are_journeys, pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    are_journeys(items, "scale")


@pytest.fixture(scope="session")
async def upstream() -> AsyncIterator[FakeUpstream]:
    """Runs in the event loop of the tests. Each test says how it answers; at first, at once."""
    async with fake_upstream() as running:
        running.script = answer
        yield running


@pytest.fixture(scope="session")
def pouch(upstream: FakeUpstream) -> Iterator[RunningPouch]:
    with RunningPouch(toml=toml(upstream.url)) as running:
        yield running


@dataclass(frozen=True, slots=True)
class SecondServe:
    """`pouch serve` beside the one under `up`: without far ends of its own, as on another machine."""

    url: str
    process: "subprocess.Popen[bytes]"

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="session")
def second(pouch: RunningPouch) -> Iterator[SecondServe]:
    port = quiet_port()
    own = {"POUCH_PORT": str(port), "POUCH_DATABASE_URL": pouch.ends.database_url}
    with pouch.log_file.open("ab") as log:
        process = subprocess.Popen(
            command("serve"),
            cwd=pouch.folder,
            env=pouch.environment | own,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    serve = SecondServe(f"http://127.0.0.1:{port}", process)
    try:
        until(lambda: _is_answering(serve), what="the second serve", timeout_s=120, log=pouch.log)
        yield serve
    finally:
        serve.thaw()
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@pytest.fixture
async def people() -> AsyncIterator[Crowd]:
    """Whoever calls at once."""
    async with crowd() as callers:
        yield callers


def _is_answering(serve: SecondServe) -> bool:
    assert serve.process.poll() is None, "the second serve ended"
    try:
        return httpx.get(f"{serve.url}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
