"""One owner runs the database of a data folder; commands use it meanwhile, or run it for themselves."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pouch.embedded.postgres.errors import AlreadyRunning
from pouch.embedded.postgres.running import owned_folder, running_postgres, started_postgres
from pouch.settings import Settings
from support.postgres import quick_folder

pytestmark = pytest.mark.anyio


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pouch-test-", dir=quick_folder()) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


async def count(url: str) -> int:
    async with await psycopg.AsyncConnection.connect(url) as db:
        await db.execute("CREATE TABLE IF NOT EXISTS uses (at timestamptz DEFAULT now())")
        await db.execute("INSERT INTO uses DEFAULT VALUES")
        row = await (await db.execute("SELECT count(*) FROM uses")).fetchone()
    return int(row[0]) if row else 0


async def test_a_second_up_on_one_folder_is_refused(data_dir: Path) -> None:
    async with owned_folder(data_dir):
        with pytest.raises(AlreadyRunning, match=r"already runs on .* \(process \d+\)"):
            async with owned_folder(data_dir):
                pass
    async with owned_folder(data_dir):
        pass


async def test_a_command_uses_the_database_that_up_runs(data_dir: Path) -> None:
    settings = Settings(config="", data_dir=data_dir)
    async with owned_folder(data_dir), started_postgres(data_dir) as postgres:
        async with running_postgres(settings) as url:
            assert url == postgres.url()
        assert await count(postgres.url()) == 1


async def test_commands_at_once_share_a_database_that_one_of_them_runs(data_dir: Path) -> None:
    """Who runs it stays until the others are done, however short its own work was."""
    settings = Settings(config="", data_dir=data_dir)

    async def command(_: int) -> int:
        async with running_postgres(settings) as url:
            return await count(url)

    await command(0)
    await asyncio.gather(*map(command, range(4)))
    assert await command(0) == 6
    assert not (data_dir / "postgres.json").exists()


async def test_up_waits_for_a_command_that_runs_the_database(data_dir: Path) -> None:
    settings = Settings(config="", data_dir=data_dir)
    entered = asyncio.Event()

    async def up() -> None:
        async with owned_folder(data_dir):
            entered.set()

    async with running_postgres(settings) as url:
        waiting = asyncio.ensure_future(up())
        await count(url)
        assert not entered.is_set()
    await waiting
    assert entered.is_set()


async def test_the_operators_own_database_is_used_as_it_is(data_dir: Path) -> None:
    settings = Settings(config="", data_dir=data_dir, database_url="postgresql://db.example/pouch")
    async with running_postgres(settings) as url:
        assert url == "postgresql://db.example/pouch"
    assert list(data_dir.iterdir()) == []
