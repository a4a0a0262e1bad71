"""The one place that names the job engine, Procrastinate (docs/adr/0004-jobs-engine.md)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from uuid import UUID

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.schema import SchemaManager

from pouch.base.database import RECONNECT_S, STATEMENT_TIMEOUT_S, Connection

OPEN_TIMEOUT_S = 5
HEARTBEAT_S = 5
DEAD_AFTER_S = 120
"""A worker this long silent is gone, with its jobs. It is more than any lane's patience, because a worker that drains
before it stops no longer shows its heartbeat."""
POLLING_S = 2
"""How late a job starts when its NOTIFY was lost together with the listening connection."""
TICK_DELAY_MAX_S = 2 * 24 * 3600
"""A daily tick that nobody was there to see is made up for at the next start, if that comes within two days."""

# The engine tells of each job three times at INFO; what is worth telling, `serving` tells.
logging.getLogger("procrastinate").setLevel(logging.WARNING)

# Deferring on the caller's connection needs no pool, so this one is never opened.
_bell = App(connector=PsycopgConnector())


def schema() -> str:
    """The SQL that makes the engine's tables."""
    return SchemaManager(PsycopgConnector()).get_schema()


async def defer(db: Connection, *, kind: str, row_id: UUID, lane: str) -> bool:
    """Add a job in the caller's transaction. False when one for the same row is waiting already."""
    try:
        async with db.transaction():  # A savepoint: a duplicate must not abort the caller.
            job = _bell.configure_task(kind, queue=lane, queueing_lock=_waiting_key(kind, row_id), connection=db)
            await job.defer_async(row_id=str(row_id))
    except AlreadyEnqueued:
        return False
    return True


async def not_waiting(db: Connection, kind: str, row_ids: Collection[UUID]) -> list[UUID]:
    """Those of `row_ids`, in their order, for which no job is waiting.

    Asking once is cheaper than to run into the unique index for each row, and keeps Postgres's error log quiet.
    """
    keys = [_waiting_key(kind, row_id) for row_id in row_ids]
    found = await db.execute(
        "SELECT queueing_lock FROM procrastinate_jobs WHERE status = 'todo' AND queueing_lock = ANY(%s)", (keys,)
    )
    waiting = {key for (key,) in await found.fetchall()}
    return [row_id for row_id in row_ids if _waiting_key(kind, row_id) not in waiting]


async def last_heartbeat_s(db: Connection) -> float | None:
    """Seconds since any worker last showed itself; None when there is none."""
    found = await db.execute(
        "SELECT extract(epoch FROM now() - max(last_heartbeat))::float8 FROM procrastinate_workers"
    )
    row = await found.fetchone()
    return None if row is None else row[0]


class Engine:
    """The engine's workers in this process. They run what was added before `open`."""

    def __init__(self, url: str, *, connections_max: int) -> None:
        # No autocommit here: the engine sets it on its own listening connection and would be given it twice.
        connector = PsycopgConnector(
            conninfo=url,
            min_size=1,
            max_size=connections_max,
            timeout=RECONNECT_S,
            reconnect_timeout=RECONNECT_S,
            kwargs={
                "application_name": "pouch-jobs",
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_S}s -c timezone=UTC",
            },
        )
        self._app = App(connector=connector, periodic_defaults={"max_delay": TICK_DELAY_MAX_S})

    def add(self, kind: str, function: Callable[[UUID], Awaitable[None]]) -> None:
        """Run `function` with the row's id when a job of this kind is fetched."""

        async def run(row_id: str) -> None:
            await function(UUID(row_id))

        self._app.task(name=kind)(run)

    def add_tick(self, name: str, *, lane: str, cron: str, function: Callable[[], Awaitable[None]]) -> None:
        """Run `function` once per tick of `cron`, in one of all processes that serve the lane.

        Seconds are the sixth field. A tick is skipped while the one before it still waits.
        """

        async def run(timestamp: int) -> None:
            del timestamp
            await function()

        task = self._app.task(name=name, queue=lane, queueing_lock=name)(run)
        self._app.periodic(cron=cron, periodic_id=name)(task)

    async def open(self) -> None:
        """Connect. Raises when Postgres does not answer within five seconds."""
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await self._app.open_async()

    async def close(self) -> None:
        """Give the connections back."""
        await self._app.close_async()

    async def work(self, lane: str, *, width: int, patience_s: float) -> None:
        """Run the lane's jobs, `width` at a time, until cancelled; then let those in flight end for `patience_s`.

        It also **returns**, without an exception, when Postgres went away: call it again.
        """
        await self._app.run_worker_async(
            queues=[lane],
            name=lane,
            concurrency=width,
            install_signal_handlers=False,
            fetch_job_polling_interval=POLLING_S,
            delete_jobs="always",
            shutdown_graceful_timeout=patience_s,
            update_heartbeat_interval=HEARTBEAT_S,
            stalled_worker_timeout=DEAD_AFTER_S,
        )

    async def clean(self) -> int:
        """Delete the jobs that dead workers left running, and those workers. Their rows are rung for by the sweep."""
        manager = self._app.job_manager
        await manager.prune_stalled_workers(DEAD_AFTER_S)
        zombies = [job.id for job in await manager.get_stalled_jobs(seconds_since_heartbeat=DEAD_AFTER_S) if job.id]
        await manager.connector.execute_query_async(
            "DELETE FROM procrastinate_jobs WHERE id = ANY(%(ids)s) AND status = 'doing'", ids=zombies
        )
        return len(zombies)


def _waiting_key(kind: str, row_id: UUID) -> str:
    return f"{kind}:{row_id}"
