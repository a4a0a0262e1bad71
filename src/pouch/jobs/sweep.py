"""The sweep: ring for every row that has something to do and nobody who does it."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

import structlog

from pouch.base.database import Connection, Database
from pouch.jobs import engine
from pouch.jobs.doorbell import Lane, ring

log = structlog.get_logger(__name__)

SWEEP_EVERY_S = 5
_LOCK = 0x6A6F6273  # "jobs": the first half of this room's advisory locks

Handler: TypeAlias = Callable[[UUID], Awaitable[None]]
Due: TypeAlias = Callable[[Connection], Awaitable[list[UUID]]]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a process does when the bell rings for a row, and how it finds the rows that nobody rang for."""

    name: str
    handler: Handler
    due: Due
    lane: Lane


async def sweep(database: Database, kinds: Iterable[Kind]) -> int:
    """Ring for the due rows of all kinds that have no job waiting; returns how many.

    This is what makes a lost ring, a crash and a retry late instead of never: rows are due by their own columns, and
    the engine keeps no schedule of them.
    """
    rung = 0
    for kind in kinds:
        try:
            async with database.transaction() as db:
                if await try_lock(db, f"sweep:{kind.name}"):
                    rung += await _ring_for_due(db, kind)
        except Exception:
            # One room's broken query must not silence the others.
            log.exception("jobs.sweep_failed", kind=kind.name)
    return rung


async def alone(database: Database, name: str, function: Callable[[], Awaitable[None]]) -> bool:
    """Run `function` unless some process is running the one of that name now; returns whether it ran.

    The lock lies on a connection of its own: should that be cut, another process may begin before this one has ended.
    """
    async with database.transaction() as lock:
        if not await try_lock(lock, name):
            return False
        await function()
    return True


async def try_lock(db: Connection, name: str) -> bool:
    """Take the lock of that name until the transaction ends. False when another transaction has it."""
    found = await db.execute("SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", (_LOCK, name))
    row = await found.fetchone()
    return bool(row and row[0])


async def _ring_for_due(db: Connection, kind: Kind) -> int:
    row_ids = await engine.not_waiting(db, kind.name, await kind.due(db))
    for row_id in row_ids:
        await ring(db, kind.name, row_id, kind.lane)
    return len(row_ids)
