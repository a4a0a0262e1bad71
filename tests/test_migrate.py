"""Migrations: any number of processes at once, killed at any moment, and each file is applied once."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import AsyncConnection

from pouch.migrate import MIGRATIONS, is_current, migrate
from support.postgres import at_database

pytestmark = pytest.mark.anyio

NAMES = sorted(path.stem for path in MIGRATIONS.iterdir() if path.suffix in {".sql", ".py"})
PROGRAM = "import asyncio, sys; from pouch.migrate import migrate; print(*asyncio.run(migrate(sys.argv[1])), sep='\\n')"


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[str]:
    name = f"pouch_test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        yield at_database(postgres_url, name)
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def migrating(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-P", "-c", PROGRAM, url], stdout=subprocess.PIPE, text=True)


async def test_a_database_of_this_version_is_left_alone(new_database: Callable[[], str]) -> None:
    url = new_database()
    assert await is_current(url)
    assert await migrate(url) == []


async def test_an_empty_database_is_not_of_this_version(empty_database: str) -> None:
    assert not await is_current(empty_database)


async def test_two_processes_at_once_apply_each_file_once(empty_database: str) -> None:
    processes = [migrating(empty_database) for _ in range(2)]
    applied = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(applied[0] + applied[1]) == NAMES
    assert [] in applied


async def test_a_process_killed_midway_leaves_no_lock_and_no_half_file(empty_database: str) -> None:
    """It is killed inside a file: we have not decided yet about a table of the same name, so it waits there."""
    async with await AsyncConnection.connect(empty_database) as blocker:
        await blocker.execute("CREATE TABLE identity_people (nothing int)")
        killed = migrating(empty_database)
        await somebody_waits(empty_database)
        killed.kill()
        killed.communicate()
        await blocker.rollback()
    assert NAMES[1] in await migrate(empty_database)
    assert await is_current(empty_database)


async def somebody_waits(url: str) -> None:
    """Until a connection of this database waits for a lock of another one."""
    async with await AsyncConnection.connect(url, autocommit=True) as db:
        while True:
            asked = await db.execute(
                """
                SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event <> 'advisory'
                """
            )
            row = await asked.fetchone()
            if row and row[0]:
                return
            await asyncio.sleep(0.02)
