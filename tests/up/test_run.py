"""`pouch up` with small stand-ins for its children: what it starts, keeps, announces and stops."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from pouch.embedded.ends import Ends
from pouch.embedded.postgres.errors import AlreadyRunning
from pouch.settings import Settings, SettingsError
from pouch.up.errors import RoleRefused
from pouch.up.ports import answers_ready
from pouch.up.run import up
from support.postgres import quick_folder

pytestmark = pytest.mark.anyio

STAND_IN = Path(__file__).with_name("stand_in.py")


def command(name: str) -> list[str]:
    return [sys.executable, "-P", str(STAND_IN), name]


class Pouch:
    """A running `up` and what it says."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self._folder = folder
        self._said: asyncio.Queue[str] = asyncio.Queue()
        self._course = asyncio.ensure_future(up(settings, say=self._said.put_nowait, command=command))

    async def says(self, text: str) -> str:
        """Wait for a line with this text. Raises what `up` raised when it ended instead."""
        while True:
            line = asyncio.ensure_future(self._said.get())
            await asyncio.wait([line, self._course], return_when=asyncio.FIRST_COMPLETED)
            if not line.done():
                line.cancel()
                await self._course
                raise AssertionError(f"it ended without saying {text!r}")
            if text in line.result():
                return line.result()

    async def process(self, name: str, *, other_than: int = 0) -> int:
        """The number of a child, once it runs."""
        told = self._folder / name
        await until(lambda: truth(told.exists() and int(told.read_text()) != other_than))
        return int(told.read_text())

    async def stop(self) -> None:
        self._course.cancel()
        await self._course


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what another process does; pytest's timeout is the limit."""
    while not await holds():
        await asyncio.sleep(0.01)


async def truth(value: bool) -> bool:
    return value


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pouch-test-", dir=quick_folder()) as made:
        Path(made).chmod(0o711)
        monkeypatch.setenv("STAND_INS", made)
        yield Path(made)


@pytest.fixture
def settings(folder: Path, database_url: str) -> Settings:
    """With the tests' own database: the embedded one has its own tests."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Settings(config="", data_dir=folder / "data", database_url=database_url, port=port)


async def test_it_says_where_to_go_and_who_may_be_first(settings: Settings, folder: Path) -> None:
    pouch = Pouch(settings, folder)
    assert await pouch.says("ready") == f"Pouch is ready: {settings.url}"
    assert f"{settings.url}/first/" in await pouch.says("first person")
    await pouch.stop()
    await pouch.says("has stopped")


async def test_a_killed_child_comes_back_and_the_other_stays(settings: Settings, folder: Path) -> None:
    pouch = Pouch(settings, folder)
    await pouch.says("ready")
    serve, work = await pouch.process("serve"), await pouch.process("work")
    os.kill(serve, signal.SIGKILL)
    await pouch.says("serve ended (SIGKILL)")
    await pouch.process("serve", other_than=serve)
    await until(lambda: answers_ready(settings))
    assert await pouch.process("work") == work
    await pouch.stop()


async def test_stopping_ends_every_child(settings: Settings, folder: Path) -> None:
    pouch = Pouch(settings, folder)
    await pouch.says("ready")
    children = [await pouch.process(name) for name in ("serve", "work")]
    await pouch.stop()
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


async def test_a_signal_stops_it_in_order(settings: Settings, folder: Path) -> None:
    pouch = Pouch(settings, folder)
    await pouch.says("ready")
    os.kill(os.getpid(), signal.SIGTERM)
    await pouch.says("has stopped")


async def test_the_children_learn_the_far_ends(settings: Settings, folder: Path) -> None:
    pouch = Pouch(settings, folder)
    await pouch.says("ready")
    ends = Ends.read(settings.data_dir / "ends.json")
    environment = Path(f"/proc/{await pouch.process('serve')}/environ").read_text().split("\0")
    assert f"POUCH_UNDER_UP={settings.data_dir}/ends.json" in environment
    assert f"POUCH_DATABASE_URL={ends.database_url}" in environment
    await pouch.stop()


async def test_a_port_that_is_taken_is_named_before_anything_starts(settings: Settings, folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.port))
        other.listen()
        with pytest.raises(SettingsError, match=rf"Port 127\.0\.0\.1:{settings.port} is taken\. Set POUCH_PORT"):
            await Pouch(settings, folder).says("ready")


async def test_a_second_one_on_the_same_folder_is_refused(settings: Settings, folder: Path) -> None:
    pouch = Pouch(settings, folder)
    await pouch.says("ready")
    with pytest.raises(AlreadyRunning, match="already runs on"):
        await Pouch(settings, folder).says("ready")
    await pouch.stop()


async def test_a_child_that_cannot_use_its_settings_ends_everything(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another start would say the same again."""
    monkeypatch.setenv("REFUSING", "work")
    with pytest.raises(RoleRefused, match="`pouch work` cannot use its settings"):
        await Pouch(settings, folder).says("there is nothing to be ready for")


async def test_the_embedded_postgres_is_kept_running(settings: Settings, folder: Path) -> None:
    pouch = Pouch(settings.model_copy(update={"database_url": None}), folder)
    await pouch.says("ready")
    serve = await pouch.process("serve")
    server = settings.data_dir / "postgres/postmaster.pid"
    killed = int(server.read_text().split()[0])
    os.kill(killed, signal.SIGKILL)
    await pouch.says("Postgres ended (SIGKILL)")
    await until(lambda: truth(server.exists() and int(server.read_text().split()[0]) != killed))
    assert await pouch.process("serve") == serve
    await pouch.stop()
    assert not server.exists()
