"""Claims: one process at a time moves a row, and one that lost its claim cannot write any more.

A row that a job moves has the columns `id`, `state`, `due_at` (NULL: nothing left to do), `lease_until`, `epoch`,
`attempts` and `error`. Each claim raises `epoch`; each later write names the epoch it was claimed with and does nothing
once somebody else has claimed the row. Times are the database's.
"""

import random
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from psycopg.sql import SQL, Composed, Identifier

from pouch.base.database import Connection

ERROR_CHARACTERS_MAX = 500
DUE_ROWS_MAX = 500
"""The most rows one sweep rings for. What is left is rung for by the next one."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to move one row until the lease ends. `attempts` counts this one, too."""

    table: str
    row_id: UUID
    epoch: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Retries:
    """What becomes of a row whose attempt failed: it waits in one state and in the end is stuck in another.

    `delays_s` are the pauses after the first, second … attempt; the last one repeats.
    """

    delays_s: tuple[float, ...]
    attempts_max: int
    waiting: str
    stuck: str

    def delay_s(self, attempts: int) -> float | None:
        """The pause after that many attempts, up to a fifth longer or shorter by chance; None: give up."""
        if attempts >= self.attempts_max:
            return None
        # Rows that failed together, because a far end was away, do not all come back in the same second.
        return self.delays_s[min(attempts, len(self.delays_s)) - 1] * random.uniform(0.8, 1.2)  # noqa: S311 -- no secret

    def none_left(self) -> "Retries":
        """The same, for a failure that no further attempt can mend."""
        return replace(self, attempts_max=0)


Failed = Literal["again", "given_up", "fenced"]


async def claim(db: Connection, table: str, row_id: UUID, lease_s: float, *, state: str | None = None) -> Claim | None:
    """Take a due row that nobody else is working on, for `lease_s` seconds, and move it to `state`.

    None when it is not due, done, or somebody else's: return quietly. Commit before acting on the outside world.
    """
    query = SQL(
        """
        UPDATE {table}
           SET epoch = epoch + 1,
               attempts = attempts + 1,
               lease_until = now() + make_interval(secs => %(lease_s)s),
               state = coalesce(%(state)s, state)
         WHERE id = %(id)s
           AND due_at <= now()
           AND (lease_until IS NULL OR lease_until < now())
        RETURNING epoch, attempts
        """
    )
    found = await db.execute(_on(query, table), {"id": row_id, "lease_s": lease_s, "state": state})
    row = await found.fetchone()
    return None if row is None else Claim(table, row_id, epoch=row[0], attempts=row[1])


async def renew(db: Connection, held: Claim, lease_s: float) -> bool:
    """Keep the row for `lease_s` more seconds. False: it is somebody else's now, so stop at once."""
    query = SQL(
        """
        UPDATE {table}
           SET lease_until = now() + make_interval(secs => %(lease_s)s)
         WHERE id = %(id)s AND epoch = %(epoch)s AND lease_until IS NOT NULL
        """
    )
    return await _write(db, held, query, lease_s=lease_s)


async def finish(db: Connection, held: Claim, state: str, *, stamp: str | None = None) -> bool:
    """Move the row to `state` for good; the column `stamp` receives the time.

    False when the claim was lost: whoever has it now will see to the row.
    """
    query = SQL(
        """
        UPDATE {table}
           SET state = %(state)s, due_at = NULL, lease_until = NULL, error = '' {stamp}
         WHERE id = %(id)s AND epoch = %(epoch)s AND lease_until IS NOT NULL
        """
    )
    stamped = SQL(", {} = now()").format(Identifier(stamp)) if stamp else SQL("")
    return await _write(db, held, query, stamped, state=state)


async def fail(db: Connection, held: Claim, error: str, retries: Retries) -> Failed:
    """Make the row due again after a pause, or leave it stuck when that was the last attempt.

    "fenced" when the claim was lost and nothing was written.
    """
    delay_s = retries.delay_s(held.attempts)
    query = SQL(
        """
        UPDATE {table}
           SET state = %(state)s,
               due_at = now() + make_interval(secs => %(delay_s)s),
               lease_until = NULL,
               error = %(error)s
         WHERE id = %(id)s AND epoch = %(epoch)s AND lease_until IS NOT NULL
        """
    )
    state = retries.stuck if delay_s is None else retries.waiting
    # Postgres keeps no NUL in text, and what a far end answers may hold one.
    text = error.replace("\x00", "")[:ERROR_CHARACTERS_MAX]
    if not await _write(db, held, query, state=state, delay_s=delay_s, error=text):
        return "fenced"
    return "given_up" if delay_s is None else "again"


async def due(db: Connection, table: str) -> list[UUID]:
    """The rows that have something to do and nobody who does it, longest due first: what `register` asks for."""
    query = SQL(
        """
        SELECT id
          FROM {table}
         WHERE due_at <= now() AND (lease_until IS NULL OR lease_until < now())
         ORDER BY due_at
         LIMIT %(limit)s
        """
    )
    found = await db.execute(_on(query, table), {"limit": DUE_ROWS_MAX})
    return [row_id for (row_id,) in await found.fetchall()]


async def _write(
    db: Connection, held: Claim, query: SQL, stamp: SQL | Composed | None = None, **values: float | str | None
) -> bool:
    written = await db.execute(_on(query, held.table, stamp), {"id": held.row_id, "epoch": held.epoch, **values})
    return written.rowcount == 1


def _on(query: SQL, table: str, stamp: SQL | Composed | None = None) -> Composed:
    return query.format(table=Identifier(table), stamp=stamp or SQL(""))
