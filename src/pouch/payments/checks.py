"""The rows of reconciliation: each check, and each difference that was found."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.ids import new_id

AskedBy = Literal["clock", "desk", "command"]
DifferenceKind = Literal["payment", "refund", "dispute", "event", "clearing"]

OVERDUE_AFTER = timedelta(hours=2, minutes=30)


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of our books with the card processor's."""

    id: UUID
    asked_by: AskedBy
    started_at: datetime
    finished_at: datetime | None
    looked_at: int
    repaired: int
    differences: int
    error: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Something in which both differ, or differed."""

    id: UUID
    kind: DifferenceKind
    object_id: str
    purchase_id: UUID | None
    what: str
    found_at: datetime
    repaired_at: datetime | None
    gone_at: datetime | None


@dataclass(frozen=True, slots=True)
class Found:
    """A difference as a check finds it."""

    kind: DifferenceKind
    object_id: str
    what: str
    purchase_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """How a check ended. `error`: why it is not whole."""

    looked_at: int
    repaired: int
    differences: int
    error: str


async def begin(db: Connection, asked_by: AskedBy) -> UUID:
    """A check begins."""
    check_id = new_id()
    await db.execute("INSERT INTO payment_checks (id, asked_by) VALUES (%s, %s)", (check_id, asked_by))
    return check_id


async def finish(db: Connection, check_id: UUID, result: Result) -> Check:
    """It has ended, or could not be finished for the reason given."""
    await db.execute(
        """
        UPDATE payment_checks SET finished_at = now(), looked_at = %s, repaired = %s, differences = %s, error = %s
         WHERE id = %s
        """,
        (result.looked_at, result.repaired, result.differences, result.error[:500].replace("\x00", ""), check_id),
    )
    (found,) = await _checks(db, "WHERE id = %s", check_id)
    return found


async def note(db: Connection, found: Found, *, repaired: bool) -> bool:
    """Write a difference down. False when it was open already."""
    written = await db.execute(
        """
        INSERT INTO payment_differences (id, kind, object_id, purchase_id, what, repaired_at)
        VALUES (%(id)s, %(kind)s, %(object)s, %(purchase)s, %(what)s, CASE WHEN %(repaired)s THEN now() END)
        ON CONFLICT (kind, object_id) WHERE repaired_at IS NULL AND gone_at IS NULL
        DO UPDATE SET seen_at = now(), what = excluded.what
        RETURNING xmax = 0
        """,
        {
            "id": new_id(),
            "kind": found.kind,
            "object": found.object_id,
            "purchase": found.purchase_id,
            "what": found.what,
            "repaired": repaired,
        },
    )
    row = await written.fetchone()
    return row is not None and bool(row[0])


async def close_others(db: Connection, open_now: Collection[Found]) -> None:
    """Differences that a whole check did not find any more are gone."""
    await db.execute(
        """
        UPDATE payment_differences SET gone_at = now()
         WHERE repaired_at IS NULL AND gone_at IS NULL AND NOT (kind || ' ' || object_id = ANY(%s))
        """,
        ([f"{each.kind} {each.object_id}" for each in open_now],),
    )


async def last_check(db: Connection) -> Check | None:
    """The newest check that was finished."""
    found = await _checks(db, "WHERE finished_at IS NOT NULL AND error = '' ORDER BY started_at DESC LIMIT 1")
    return found[0] if found else None


async def is_overdue(db: Connection, now: datetime) -> bool:
    """Whether no check was whole for longer than two that are due: the books may differ, and nobody has looked."""
    rows = await db.execute(
        """
        SELECT coalesce(max(started_at) FILTER (WHERE finished_at IS NOT NULL AND error = ''), min(started_at))
          FROM payment_checks
        """
    )
    row = await rows.fetchone()
    return row is not None and row[0] is not None and row[0] < now - OVERDUE_AFTER


async def list_checks(db: Connection, limit: int = 20) -> list[Check]:
    """The newest checks first."""
    return await _checks(db, "ORDER BY started_at DESC LIMIT %s", limit)


async def list_differences(db: Connection, limit: int = 100) -> list[Difference]:
    """The open differences first, then the newest."""
    rows = await db.execute(
        """
        SELECT id, kind, object_id, purchase_id, what, found_at, repaired_at, gone_at FROM payment_differences
         ORDER BY repaired_at IS NOT NULL OR gone_at IS NOT NULL, found_at DESC LIMIT %s
        """,
        (limit,),
    )
    return [Difference(*row) for row in await rows.fetchall()]


async def open_differences(db: Connection) -> int:
    """How many there are now."""
    rows = await db.execute("SELECT count(*) FROM payment_differences WHERE repaired_at IS NULL AND gone_at IS NULL")
    row = await rows.fetchone()
    assert row is not None
    return int(row[0])


async def _checks(db: Connection, where: str, *values: object) -> list[Check]:
    rows = await db.execute(
        f"""
        SELECT id, asked_by, started_at, finished_at, looked_at, repaired, differences, error
          FROM payment_checks {where}
        """.encode(),
        values,
    )
    return [Check(*row) for row in await rows.fetchall()]
