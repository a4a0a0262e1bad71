"""Lots: which of the credits that came are still there, worked out from the transfers.

Burn order: promotional credits first, then what expires soonest, then the oldest. A transfer that names its cause (a
refund, a dispute, a debt that a purchase paid) draws on the lot of that cause first, and gives back to it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.money import ZERO, Money


@dataclass(slots=True)
class Lot:
    """Credits that came together. `cause` is the purchase they were bought with; for a grant, its transfer."""

    cause: UUID
    is_promotional: bool
    at: datetime
    came: int
    left: int
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a balance: one that a lot is made or named by, or all that was spent since the one before."""

    seq: int
    id: UUID | None
    at: datetime
    kind: str
    amount: int
    cause: UUID | None


async def lots_of(db: Connection, organization_id: UUID) -> list[Lot]:
    """Every lot of an organization, oldest first, with what is left of it now."""
    return replay(await _changes(db, organization_id))


async def unused_of(db: Connection, organization_id: UUID, cause: UUID) -> Money:
    """What is left of the credits that were bought with this purchase."""
    lots = await lots_of(db, organization_id)
    return Money(sum(lot.left for lot in lots if lot.cause == cause)) if lots else ZERO


def replay(changes: Iterable[Change]) -> list[Lot]:
    """Tell the story of a balance again, from its first change."""
    lots: list[Lot] = []
    for change in changes:
        own = next((lot for lot in lots if change.cause is not None and lot.cause == change.cause), None)
        if change.amount < 0:
            _burn(lots, own, -change.amount)
        elif own is not None:
            own.left += change.amount
        elif change.cause is not None or change.id is not None:
            cause = change.cause or change.id
            assert cause is not None
            lots.append(Lot(cause, change.kind == "grant", change.at, change.amount, change.amount))
    return lots


def _burn(lots: list[Lot], own: Lot | None, amount: int) -> None:
    for lot in [*([own] if own else []), *sorted(lots, key=_order)]:
        part = min(lot.left, amount)
        lot.left -= part
        amount -= part


def _order(lot: Lot) -> tuple[bool, float, datetime]:
    return not lot.is_promotional, lot.expires_at.timestamp() if lot.expires_at else float("inf"), lot.at


async def _changes(db: Connection, organization_id: UUID) -> list[Change]:
    # What was spent between two changes that matter is one sum: a busy account has a hundred thousand calls.
    rows = await db.execute(
        """
        WITH own AS (
            SELECT t.seq, t.id, t.at, t.kind, t.cause,
                   CASE WHEN t.credit_account_id = t.customer_id THEN t.amount_nanos ELSE -t.amount_nanos END AS amount,
                   t.credit_account_id = t.customer_id OR t.kind IN ('refund', 'dispute', 'debt') AS matters
              FROM ledger_transfers AS t
             WHERE t.customer_id = (SELECT id FROM ledger_accounts WHERE organization_id = %s AND kind = 'customer')
        ), parts AS (
            SELECT *, count(*) FILTER (WHERE matters) OVER (ORDER BY seq) AS part FROM own
        )
        SELECT seq, id, at, kind, amount, cause FROM parts WHERE matters
         UNION ALL
        SELECT max(seq), NULL, max(at), 'spent', sum(amount)::bigint, NULL FROM parts WHERE NOT matters GROUP BY part
         ORDER BY seq
        """,
        (organization_id,),
    )
    return [Change(*row) for row in await rows.fetchall()]
