"""The rows of attempts. States move by compare-and-set; one that has ended is only touched when money was found."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import TupleRow

from pouch.base.database import Connection
from pouch.base.money import ZERO, Money
from pouch.topups.types import Attempt, AttemptState

TABLE = "topup_attempts"

_COLUMNS = """
id, organization_id, state, amount_nanos, fee_nanos, tax_nanos, balance_nanos, pending_nanos, card_name, fingerprint,
code, reason, created_at, submitted_at, ended_at, confirm_until
"""
_COUNTED = "('created', 'submitted', 'unknown', 'credited', 'recovered')"
"""What was charged, or may still be."""


@dataclass(frozen=True, slots=True)
class New:
    """An attempt that is about to be written."""

    id: UUID
    organization_id: UUID
    amount: Money
    balance: Money
    pending: Money
    card_id: UUID | None = None
    card_name: str = ""
    fingerprint: str = ""
    fee: Money = ZERO
    tax: Money = ZERO


async def add_attempt(db: Connection, new: New) -> bool:
    """Write an attempt that is due at once. False when one is under way: it takes the one place there is."""
    added = await db.execute(
        """
        INSERT INTO topup_attempts (id, organization_id, state, amount_nanos, fee_nanos, tax_nanos, balance_nanos,
                                    pending_nanos, card_id, card_name, fingerprint, due_at)
        VALUES (%s, %s, 'created', %s, %s, %s, %s, %s, %s, %s, %s, now())
        ON CONFLICT (organization_id) WHERE state IN ('created', 'submitted', 'unknown') DO NOTHING
        """,
        (
            new.id,
            new.organization_id,
            new.amount.nanos,
            new.fee.nanos,
            new.tax.nanos,
            new.balance.nanos,
            new.pending.nanos,
            new.card_id,
            new.card_name,
            new.fingerprint,
        ),
    )
    return added.rowcount == 1


async def note_not_tried(db: Connection, new: New, code: str, reason: str) -> bool:
    """Write that a top-up was wanted and not tried. Once for each id, so once for each window."""
    added = await db.execute(
        """
        INSERT INTO topup_attempts
               (id, organization_id, state, amount_nanos, balance_nanos, pending_nanos, code, reason, ended_at)
        VALUES (%s, %s, 'not_tried', 0, %s, %s, %s, %s, now()) ON CONFLICT (id) DO NOTHING
        """,
        (new.id, new.organization_id, new.balance.nanos, new.pending.nanos, code, reason),
    )
    return added.rowcount == 1


async def find_attempt(db: Connection, attempt_id: UUID) -> Attempt | None:
    """An attempt of whichever organization."""
    return next(iter(await _read(db, "WHERE id = %s", attempt_id)), None)


async def lock_attempt(db: Connection, attempt_id: UUID) -> Attempt | None:
    """The same, locked until the transaction ends."""
    return next(iter(await _read(db, "WHERE id = %s FOR UPDATE", attempt_id)), None)


async def newest(db: Connection, organization_id: UUID, limit: int = 5, before: UUID | None = None) -> list[Attempt]:
    """An organization's attempts, newest first."""
    if before is None:
        return await _read(db, "WHERE organization_id = %s ORDER BY created_at DESC LIMIT %s", organization_id, limit)
    return await _read(
        db,
        """
        WHERE organization_id = %s AND created_at < (SELECT created_at FROM topup_attempts WHERE id = %s)
        ORDER BY created_at DESC LIMIT %s
        """,
        organization_id,
        before,
        limit,
    )


async def under_way(db: Connection, organization_id: UUID) -> Attempt | None:
    """The attempt that may still charge, if there is one."""
    found = await _read(
        db, "WHERE organization_id = %s AND state IN ('created', 'submitted', 'unknown')", organization_id
    )
    return next(iter(found), None)


async def needing_action(db: Connection, organization_id: UUID) -> Attempt | None:
    """The newest attempt that its owner can still confirm with the bank."""
    found = await _read(
        db,
        """
        WHERE organization_id = %s AND state = 'needs_action' AND confirm_until > now() ORDER BY created_at DESC LIMIT 1
        """,
        organization_id,
    )
    return next(iter(found), None)


async def mark_submitted(db: Connection, attempt_id: UUID) -> bool:
    """The request is about to be sent for the first time. False when it was before."""
    moved = await db.execute(
        "UPDATE topup_attempts SET state = 'submitted', submitted_at = now() WHERE id = %s AND state = 'created'",
        (attempt_id,),
    )
    return moved.rowcount == 1


async def end(  # noqa: PLR0913 -- what became of it, by name
    db: Connection,
    attempt_id: UUID,
    state: AttemptState,
    *,
    since: Collection[AttemptState],
    code: str = "",
    reason: str = "",
) -> bool:
    """Bring an attempt to its end. False when it is in none of these states, and then nothing changes."""
    moved = await db.execute(
        """
        UPDATE topup_attempts
           SET state = %s, code = %s, reason = %s, ended_at = now(), due_at = NULL, lease_until = NULL
         WHERE id = %s AND state = ANY(%s)
        """,
        (state, code, reason, attempt_id, list(since)),
    )
    return moved.rowcount == 1


async def ask_to_confirm(db: Connection, attempt_id: UUID, reason: str, hours: int) -> bool:
    """The bank wants its customer. False when the attempt is not under way any more."""
    moved = await db.execute(
        """
        UPDATE topup_attempts
           SET state = 'needs_action', code = 'authentication_required', reason = %s, due_at = NULL, lease_until = NULL,
               confirm_until = now() + make_interval(hours => %s)
         WHERE id = %s AND state IN ('created', 'submitted', 'unknown')
        """,
        (reason, hours, attempt_id),
    )
    return moved.rowcount == 1


async def give_up_confirming(db: Connection, organization_id: UUID) -> None:
    """There is another card, or another will: what waits for its owner's confirmation waits no more."""
    await db.execute(
        """
        UPDATE topup_attempts SET state = 'declined', ended_at = now()
         WHERE organization_id = %s AND state = 'needs_action'
        """,
        (organization_id,),
    )


async def used_since(db: Connection, organization_id: UUID, since: datetime) -> Money:
    """What was charged since then, fee and tax among it, and what may still be."""
    rows = await db.execute(
        f"""
        SELECT coalesce(sum(amount_nanos + fee_nanos + tax_nanos), 0)::bigint FROM topup_attempts
         WHERE organization_id = %s AND created_at >= %s AND state IN {_COUNTED}
        """,
        (organization_id, since),
    )
    row = await rows.fetchone()
    assert row is not None
    return Money(row[0])


async def tried_since(db: Connection, organization_id: UUID, since: datetime) -> int:
    """How often a card was charged since then, or was tried to be."""
    return await _count(db, organization_id, since, "state <> 'not_tried'")


async def charged_since(db: Connection, organization_id: UUID, since: datetime) -> int:
    """How often a card was charged since then."""
    return await _count(db, organization_id, since, "state IN ('credited', 'recovered')")


async def _count(db: Connection, organization_id: UUID, since: datetime, which: str) -> int:
    rows = await db.execute(
        f"SELECT count(*) FROM topup_attempts WHERE organization_id = %s AND created_at >= %s AND {which}",
        (organization_id, since),
    )
    row = await rows.fetchone()
    assert row is not None
    return int(row[0])


async def _read(db: Connection, where: str, *values: object) -> list[Attempt]:
    rows = await db.execute(f"SELECT {_COLUMNS} FROM topup_attempts {where}".encode(), values)
    return [_attempt(row) for row in await rows.fetchall()]


def _attempt(row: TupleRow) -> Attempt:
    id_, organization_id, state, *nanos = row[:8]
    amount, fee, tax, balance, pending = (Money(each) for each in nanos)
    return Attempt(id_, organization_id, state, amount, fee, tax, balance, pending, *row[8:])
