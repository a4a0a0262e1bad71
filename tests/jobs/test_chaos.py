"""Workers die at the worst moments; every row's effect happens once all the same."""

import asyncio
import signal
import sys
from pathlib import Path
from uuid import UUID

import pytest
from psycopg import AsyncConnection

from pouch.base.database import Database
from pouch.base.ids import new_id
from pouch.jobs.doorbell import ring

pytestmark = pytest.mark.anyio

WORKER = Path(__file__).with_name("chaos_worker.py")
KILL_AT = ("unclaimed", "claimed", "uncommitted", "committed")


async def test_each_effect_happens_once_however_workers_die(database_url: str) -> None:
    """Two workers and sixty rows; up to eight times a worker is killed, twice at each place between two steps."""
    async with Database(database_url) as database:
        rows = await prepare(database)
        workers = {worker.pid: worker for worker in [await start(database_url), await start(database_url)]}
        try:
            async with asyncio.timeout(90):
                kills = await kill_and_replace(database_url, workers, waiting_for=set(rows))
        finally:
            for worker in workers.values():
                worker.kill()
                await worker.wait()

        # A row that is killed after its commit may go down unnoticed with a neighbour.
        assert kills >= 2 * (len(KILL_AT) - 1)
        async with database.transaction() as db:
            found = await db.execute("SELECT state, effects, count(*) FROM chaos_rows GROUP BY state, effects")
            assert await found.fetchall() == [("done", 1, len(rows))]


async def prepare(database: Database) -> list[UUID]:
    rows = [new_id() for _ in range(60)]
    async with database.transaction() as db:
        await db.execute(
            """
            CREATE TABLE chaos_rows (
                id uuid PRIMARY KEY, state text NOT NULL DEFAULT 'open', due_at timestamptz DEFAULT now(),
                lease_until timestamptz, epoch bigint NOT NULL DEFAULT 0, attempts integer NOT NULL DEFAULT 0,
                error text NOT NULL DEFAULT '', effects integer NOT NULL DEFAULT 0, kill_at text
            )
            """
        )
        for number, row_id in enumerate(rows):
            place = KILL_AT[number // 6 % 4] if number % 6 == 0 and number < 48 else None
            await db.execute("INSERT INTO chaos_rows (id, kill_at) VALUES (%s, %s)", (row_id, place))
            await ring(db, "chaos", row_id)
    return rows


async def start(url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, str(WORKER), url)


async def kill_and_replace(url: str, workers: dict[int, asyncio.subprocess.Process], *, waiting_for: set[UUID]) -> int:
    """Kill each worker that asks for it and start another, until every row is done. Returns the number of kills."""
    kills = 0
    async with await AsyncConnection.connect(url, autocommit=True) as db:
        await db.execute("LISTEN chaos")
        # A row may have been finished before we listened.
        done = await db.execute("SELECT id FROM chaos_rows WHERE state = 'done'")
        waiting_for -= {row_id for (row_id,) in await done.fetchall()}
        async for notice in db.notifies():
            what, pid, row_id = notice.payload.split()
            if what == "done":
                waiting_for.discard(UUID(row_id))
            elif (worker := workers.pop(int(pid), None)) is not None:
                worker.send_signal(signal.SIGKILL)
                await worker.wait()
                await spare(url, UUID(row_id))
                kills += 1
                another = await start(url)
                workers[another.pid] = another
            if not waiting_for:
                break
    return kills


async def spare(url: str, row_id: UUID) -> None:
    async with await AsyncConnection.connect(url) as db:
        await db.execute("UPDATE chaos_rows SET kill_at = NULL WHERE id = %s", (row_id,))
