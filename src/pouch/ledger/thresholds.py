"""Thresholds and crossings: asking to be told when a balance runs low, and answering."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.ledger.crossing import CrossingCause, ThresholdRow, ThresholdState, judge_crossing


@dataclass(frozen=True, slots=True)
class Crossing:
    """An open wish for a top-up."""

    id: UUID
    organization_id: UUID
    cause: CrossingCause
    at: datetime
    balance: Money
    pending: Money
    threshold: Money


async def arm(db: Connection, organization_id: UUID, threshold: Money) -> bool:
    """Watch an organization's balance from now on; another threshold replaces the one before.

    Judges at once: True when there is an open crossing now. The account is locked until the transaction ends, so no
    capture passes unseen. Call it with the rule's own row locked, never the other way round.
    """
    balance = await _lock_balance(db, organization_id)
    await watch(db, organization_id, threshold)
    rows = await db.execute(
        """
        SELECT state, threshold_nanos, pending_nanos,
               EXISTS (SELECT FROM ledger_crossings AS c
                        WHERE c.organization_id = t.organization_id AND c.closed_at IS NULL)
          FROM ledger_thresholds AS t WHERE organization_id = %s
        """,
        (organization_id,),
    )
    row = await rows.fetchone()
    assert row is not None
    made = judge_crossing(ThresholdRow(*row), organization_id, balance, "switched_on")
    if made is not None:
        await db.execute(
            """
            INSERT INTO ledger_crossings
                   (id, organization_id, cause, at, balance_nanos, pending_nanos, threshold_nanos)
            VALUES (%s, %s, %s, clock_timestamp(), %s, %s, %s)
            """,
            (new_id(), organization_id, made.cause, made.balance, made.pending, made.threshold),
        )
    return made is not None or row[3]


async def watch(db: Connection, organization_id: UUID, threshold: Money) -> None:
    """The same without judging: the balance is looked at after the next capture or refusal."""
    await db.execute(
        """
        INSERT INTO ledger_thresholds (organization_id, threshold_nanos) VALUES (%s, %s)
        ON CONFLICT (organization_id) DO UPDATE SET threshold_nanos = excluded.threshold_nanos, state = 'armed'
        """,
        (organization_id, threshold.nanos),
    )


async def disarm(db: Connection, organization_id: UUID) -> None:
    """Watch no more: the threshold is gone, and an open crossing is closed. Repeating it changes nothing."""
    await db.execute("DELETE FROM ledger_thresholds WHERE organization_id = %s", (organization_id,))
    await close_crossing(db, organization_id)


async def set_state(db: Connection, organization_id: UUID, state: ThresholdState) -> None:
    """Say whether a crossing will be answered soon. Pausing closes an open one."""
    await db.execute("UPDATE ledger_thresholds SET state = %s WHERE organization_id = %s", (state, organization_id))
    if state == "paused":
        await close_crossing(db, organization_id)


async def lock_threshold(db: Connection, organization_id: UUID) -> bool:
    """Hold the threshold's row, if there is one, until the transaction ends; what is counted then stays true."""
    rows = await db.execute("SELECT 1 FROM ledger_thresholds WHERE organization_id = %s FOR UPDATE", (organization_id,))
    return await rows.fetchone() is not None


async def set_pending(db: Connection, organization_id: UUID, pending: Money) -> None:
    """Say how much is on its way; call it with the threshold locked before it was added up."""
    await db.execute(
        "UPDATE ledger_thresholds SET pending_nanos = %s WHERE organization_id = %s", (pending.nanos, organization_id)
    )


async def find_crossing(db: Connection, organization_id: UUID) -> Crossing | None:
    """The open crossing of an organization."""
    rows = await db.execute(
        """
        SELECT id, organization_id, cause, at, balance_nanos, pending_nanos, threshold_nanos FROM ledger_crossings
         WHERE organization_id = %s AND closed_at IS NULL
        """,
        (organization_id,),
    )
    row = await rows.fetchone()
    if row is None:
        return None
    id_, organization, cause, at, balance, pending, threshold = row
    return Crossing(id_, organization, cause, at, Money(balance), Money(pending), Money(threshold))


async def crossed(db: Connection, *, limit: int) -> dict[UUID, ThresholdState]:
    """The organizations with an open crossing, the oldest first, and how their thresholds stand."""
    rows = await db.execute(
        """
        SELECT c.organization_id, coalesce(t.state, 'paused')
          FROM ledger_crossings AS c LEFT JOIN ledger_thresholds AS t USING (organization_id)
         WHERE c.closed_at IS NULL ORDER BY c.at LIMIT %s
        """,
        (limit,),
    )
    return dict(await rows.fetchall())


async def close_crossing(db: Connection, organization_id: UUID) -> None:
    """The wish is answered, or nobody has it any more. Repeating it changes nothing."""
    await db.execute(
        "UPDATE ledger_crossings SET closed_at = now() WHERE organization_id = %s AND closed_at IS NULL",
        (organization_id,),
    )


async def _lock_balance(db: Connection, organization_id: UUID) -> int:
    rows = await db.execute(
        """
        SELECT balance_nanos FROM ledger_accounts WHERE organization_id = %s AND kind = 'customer' FOR NO KEY UPDATE
        """,
        (organization_id,),
    )
    row = await rows.fetchone()
    balance: int = row[0] if row is not None else 0
    return balance
