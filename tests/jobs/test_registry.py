"""A process hears the bell after the commit, survives its database going away, and does chores by the clock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from psycopg import AsyncConnection

from pouch.base.database import Connection, Database
from pouch.base.ids import new_id
from pouch.jobs.doorbell import ring
from pouch.jobs.engine import Engine
from pouch.jobs.heartbeat import heartbeat
from pouch.jobs.registry import Jobs, cron
from pouch.jobs.sweep import Due, Handler, alone

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        yield database


async def test_the_bell_is_heard_after_the_commit_and_not_before(database: Database) -> None:
    heard: asyncio.Queue[UUID] = asyncio.Queue()
    first, second = new_id(), new_id()
    async with working(database, heard.put):
        async with database.transaction() as db:
            await ring(db, "bell", first)
            async with database.transaction() as other:
                await ring(other, "bell", second)
            assert await heard.get() == second
        assert await heard.get() == first


async def test_ringing_twice_for_a_waiting_row_rings_once_and_spares_the_transaction(db: Connection) -> None:
    row_id = new_id()
    for _ in range(3):
        await ring(db, "bell", row_id)
    assert await count(db, "SELECT count(*) FROM procrastinate_jobs") == 1


async def test_a_ring_during_the_run_is_heard_again(database: Database) -> None:
    """A second webhook arrives while the first one is being worked on."""
    row_id, runs = new_id(), 0
    again = asyncio.Event()

    async def handle(_: UUID) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            await rung(database, row_id)
        else:
            again.set()

    async with working(database, handle):
        await rung(database, row_id)
        await again.wait()


async def test_a_handler_that_raises_harms_nobody_else(database: Database) -> None:
    heard: asyncio.Queue[UUID] = asyncio.Queue()
    bad, good = new_id(), new_id()

    async def handle(row_id: UUID) -> None:
        if row_id == bad:
            raise RuntimeError("as on the worst day")
        await heard.put(row_id)

    async with working(database, handle):
        await rung(database, bad)
        await rung(database, good)
        assert await heard.get() == good


async def test_a_row_that_nobody_rang_for_is_found_by_the_sweep(database: Database) -> None:
    """Its ring was lost, or its back-off has passed."""
    heard: asyncio.Queue[UUID] = asyncio.Queue()
    forgotten = new_id()
    waiting = [forgotten]

    async def handle(row_id: UUID) -> None:
        waiting.remove(row_id)
        await heard.put(row_id)

    async def due(_: Connection) -> list[UUID]:
        return list(waiting)

    async with working(database, handle, due):
        assert await heard.get() == forgotten


async def test_the_sweep_rings_once_for_a_row_and_past_a_broken_neighbour(database: Database) -> None:
    row_id = new_id()

    async def nothing(_: UUID) -> None: ...

    async def broken(db: Connection) -> list[UUID]:
        await db.execute("SELECT no_such_column")
        return []

    async def due(_: Connection) -> list[UUID]:
        return [row_id]

    jobs = Jobs(database)
    jobs.register("broken", nothing, broken)
    jobs.register("bell", nothing, due, lane="mail")

    assert await jobs.sweep() == 1
    assert await jobs.sweep() == 0
    async with database.transaction() as db:
        assert await count(db, "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = 'mail'") == 1


async def test_the_bell_is_heard_again_after_every_connection_was_cut(database: Database) -> None:
    """Postgres is restarted: the engine's worker gives up without a word, and is started again."""
    heard: asyncio.Queue[UUID] = asyncio.Queue()
    async with working(database, heard.put):
        await rung(database, first := new_id())
        assert await heard.get() == first
        await put_away(database)

        await cut_every_connection(database)

        await rung(database, second := new_id())
        assert await heard.get() == second


async def test_a_stop_lets_the_job_in_flight_end(database: Database) -> None:
    begun, ended, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handle(_: UUID) -> None:
        begun.set()
        await go_on.wait()
        ended.set()

    async with working(database, handle) as stop:
        await rung(database, new_id())
        await begun.wait()
        stop.set()
        go_on.set()
    assert ended.is_set()


async def test_a_process_waits_for_its_database_and_can_be_stopped_meanwhile() -> None:
    """Something answers in Postgres's place and hangs up each time."""
    stop = asyncio.Event()
    seen = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        writer.close()
        if seen == 3:
            stop.set()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, asyncio.timeout(30):
        await Jobs(Database(f"postgresql://nobody@127.0.0.1:{port}/none?sslmode=disable")).run(stop)
    assert seen >= 3


async def test_a_lane_has_the_width_it_was_given_and_publishing_waits_for_no_agent(database: Database) -> None:
    """One agent at once: the second waits for the first, and what is to be published for neither."""
    begun: asyncio.Queue[UUID] = asyncio.Queue()
    published: asyncio.Queue[UUID] = asyncio.Queue()
    go_on = asyncio.Event()

    async def agent(row_id: UUID) -> None:
        await begun.put(row_id)
        await go_on.wait()

    async def due(_: Connection) -> list[UUID]:
        return []

    jobs = Jobs(database, widths={"agents": 1})
    jobs.register("agent", agent, due, lane="agents")
    jobs.register("publish", published.put, due, lane="publishing")
    first, second, work = new_id(), new_id(), new_id()
    async with running(jobs):
        async with database.transaction() as db:
            await ring(db, "agent", first, lane="agents")
        assert await begun.get() == first
        async with database.transaction() as db:
            await ring(db, "agent", second, lane="agents")
            await ring(db, "publish", work, lane="publishing")
        assert await published.get() == work
        assert begun.empty()
        go_on.set()
        assert await begun.get() == second


async def test_a_lane_that_is_held_back_is_served_from_then_on_and_holds_up_no_other(database: Database) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def agent(_: UUID) -> None:
        await heard.put("agents")

    async def other(_: UUID) -> None:
        await heard.put("short")

    async def due(_: Connection) -> list[UUID]:
        return []

    jobs, until = Jobs(database), asyncio.Event()
    jobs.register("agent", agent, due, lane="agents")
    jobs.register("other", other, due)
    jobs.hold_back("agents", until)
    async with running(jobs):
        async with database.transaction() as db:
            await ring(db, "agent", new_id(), lane="agents")
            await ring(db, "other", new_id())
        assert await heard.get() == "short"
        assert heard.empty()
        until.set()
        assert await heard.get() == "agents"


async def test_a_chore_is_done_by_the_clock(database: Database) -> None:
    done = asyncio.Event()

    async def chore() -> None:
        done.set()

    jobs = Jobs(database)
    jobs.every(1, "test.chore", chore)
    async with running(jobs):
        await done.wait()
        async with database.transaction() as db:
            assert await heartbeat(db)


async def test_two_processes_never_do_a_chore_at_the_same_time(database: Database) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        begun.set()
        await go_on.wait()

    async def never() -> None:
        raise AssertionError("two at once")

    async with asyncio.TaskGroup() as group:
        first = group.create_task(alone(database, "test.chore", slow))
        await begun.wait()
        assert not await alone(database, "test.chore", never)
        go_on.set()
    assert first.result()


async def test_nobody_answers_the_bell_without_a_worker(database: Database) -> None:
    async with database.transaction() as db:
        assert not await heartbeat(db)
        await db.execute("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '31 seconds')")
        assert not await heartbeat(db)


async def test_jobs_of_dead_workers_are_cleaned_and_those_of_the_living_are_not(database: Database) -> None:
    async with database.transaction() as db:
        await ring(db, "bell", new_id())
        await ring(db, "bell", new_id())
        await db.execute(
            """
            INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now()), (now() - interval '121 seconds');
            UPDATE procrastinate_jobs
               SET status = 'doing',
                   worker_id = (SELECT id FROM procrastinate_workers w WHERE (w.id + procrastinate_jobs.id) % 2 = 0)
            """
        )
    engine = Engine(database.url, connections_max=2)
    await engine.open()

    assert await engine.clean() == 1
    assert await engine.clean() == 0

    await engine.close()
    async with database.transaction() as db:
        assert (
            await count(db, "SELECT count(*) FROM procrastinate_jobs JOIN procrastinate_workers w ON w.id = worker_id")
            == 1
        )
        assert await count(db, "SELECT count(*) FROM procrastinate_workers") == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "* * * * * */1"),
        (5, "* * * * * */5"),
        (60, "*/1 * * * *"),
        (600, "*/10 * * * *"),
        (3600, "0 */1 * * *"),
        (86400, "0 0 * * *"),
    ],
)
def test_a_tick_is_written_in_crons_words(seconds: int, words: str) -> None:
    assert cron(seconds) == words


@pytest.mark.parametrize("seconds", [0, -5, 7, 61, 90, 420, 3601, 5 * 3600, 2 * 86400])
def test_an_uneven_tick_is_refused(seconds: int) -> None:
    with pytest.raises(ValueError, match="do not divide"):
        cron(seconds)


def test_a_kind_has_one_handler(database_url: str) -> None:
    async def handle(_: UUID) -> None: ...

    jobs = Jobs(Database(database_url))
    jobs.register("bell", handle, nothing_due)
    with pytest.raises(ValueError, match="already"):
        jobs.register("bell", handle, nothing_due)


async def nothing_due(_: Connection) -> list[UUID]:
    return []


@asynccontextmanager
async def working(
    database: Database,
    handle: Handler,
    due: Due = nothing_due,
) -> AsyncIterator[asyncio.Event]:
    jobs = Jobs(database)
    jobs.register("bell", handle, due)
    async with running(jobs) as stop:
        yield stop


@asynccontextmanager
async def running(jobs: Jobs) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(jobs.run(stop))
        try:
            yield stop
        finally:
            stop.set()


async def rung(database: Database, row_id: UUID) -> None:
    async with database.transaction() as db:
        await ring(db, "bell", row_id)


async def cut_every_connection(database: Database) -> None:
    """While no job runs: one whose end could not be written would be the engine's to complain of."""
    async with asyncio.timeout(10):
        while True:
            async with database.transaction() as db:
                # Nobody begins a job or ends one from here on.
                await db.execute("LOCK TABLE procrastinate_jobs IN EXCLUSIVE MODE")
                if await count(db, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'") == 0:
                    await db.execute(
                        """
                        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                         WHERE datname = current_database() AND pid <> pg_backend_pid()
                        """
                    )
                    return
            await asyncio.sleep(0.01)


async def put_away(database: Database) -> None:
    """Wait until the engine has deleted every finished job of the bell."""
    async with asyncio.timeout(10):
        left = 1
        while left:
            async with database.transaction() as db:
                left = await count(db, "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'bell'")
    # The engine may not have read yet that its deletion was committed. Its answer lies before the next two of ours.
    for _ in range(2):
        async with database.transaction() as db:
            await db.execute("SELECT 1")


async def count(db: AsyncConnection, query: str) -> int:
    row = await (await db.execute(query.encode())).fetchone()
    assert row
    return int(row[0])
