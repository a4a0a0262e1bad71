"""Lots: which credits came together, and what of each is left. Worked out from the transfers, not on the hot path.

In words. Each transfer to a customer is a lot. What is spent is taken from promotional lots first, then from those that
expire soonest, then from the oldest. Some kinds of transfers take from a lot of their own first: an expiry or a
revocation from the lot it names; a refund, a dispute and the payment of a debt from the purchase that is their cause;
what that lot no longer has comes from the others in order. What is held counts as spent next: it was admitted on the
credits that come first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.money import ZERO, Money
from pouch.ledger.operations import TransferKind

GrantKind = Literal["promotional", "compensation"]
"""promotional: spent before anything else. compensation: spent like paid credits."""
AIMED: tuple[TransferKind, ...] = ("expiry", "revoked", "refund", "dispute", "debt")
"""Kinds of transfers that take from the lot of their cause first."""
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Lot:
    """Credits that came together. `id` and `seq` are those of the transfer that brought them."""

    id: UUID
    seq: int
    at: datetime
    kind: TransferKind
    amount: Money
    left: Money
    cause: UUID | None = None
    note: str = ""
    grant_kind: GrantKind | None = None
    """None for what was paid."""
    expires_at: datetime | None = None

    @property
    def turn(self) -> tuple[bool, datetime, int]:
        """What is spent first sorts first."""
        return self.grant_kind != "promotional", self.expires_at or NEVER, self.seq


@dataclass(frozen=True, slots=True)
class Spent:
    """Credits that went. `aim` is the cause whose lots they are taken from first."""

    amount: Money
    aim: UUID | None = None


def replay(lots: Iterable[Lot], changes: Iterable[Lot | Spent]) -> list[Lot]:
    """What is left of the lots after these changes, in the order in which they are spent; empty ones are left out."""
    standing = {lot.id: lot for lot in lots}
    for change in changes:
        if isinstance(change, Lot):
            standing[change.id] = change
        else:
            _take(standing, change)
    return sorted((lot for lot in standing.values() if lot.left), key=lambda lot: lot.turn)


def after_holds(lots: Sequence[Lot], held: Money) -> list[Lot]:
    """The lots without what is held, as if it were spent now."""
    return replay(lots, [Spent(held)] if held else [])


async def lots_of(db: Connection, organization_id: UUID) -> list[Lot]:
    """An organization's lots that have something left, in the order in which they are spent: the balance."""
    account_id = await _account_id(db, organization_id)
    if account_id is None:
        return []
    _, lots = await _work_out(db, account_id)
    return lots


async def unused_of_purchase(db: Connection, organization_id: UUID, purchase_id: UUID) -> Money:
    """What of a purchase's credits is neither spent nor held: the most that can be refunded without a debt.

    `purchase_id` is the cause of the transfers that credited it. Lock the account before (`accounts.lock`) where the
    answer must still be true when it is acted on.
    """
    rows = await db.execute(
        "SELECT id, held_nanos FROM ledger_accounts WHERE organization_id = %s AND kind = 'customer'",
        (organization_id,),
    )
    row = await rows.fetchone()
    if row is None:
        return ZERO
    _, lots = await _work_out(db, row[0])
    return sum((lot.left for lot in after_holds(lots, Money(row[1])) if lot.cause == purchase_id), ZERO)


async def unused_of(db: Connection, organization_id: UUID, cause: UUID) -> Money:
    """What is left of the credits that were bought with this purchase, holds not counted."""
    return sum((lot.left for lot in await lots_of(db, organization_id) if lot.cause == cause), ZERO)


async def take_snapshot(db: Connection, account_id: int) -> None:
    """Keep what is left of an account's lots as it is now."""
    seq, lots = await _work_out(db, account_id)
    await db.execute(
        """
        INSERT INTO ledger_lot_snapshots AS kept (account_id, seq, lot_ids, left_nanos) VALUES (%s, %s, %s, %s)
        ON CONFLICT (account_id) DO UPDATE
           SET seq = excluded.seq, lot_ids = excluded.lot_ids, left_nanos = excluded.left_nanos, taken_at = now()
         WHERE kept.seq < excluded.seq
        """,
        (account_id, seq, [lot.id for lot in lots], [lot.left.nanos for lot in lots]),
    )


async def accounts_to_snapshot(db: Connection, limit: int) -> list[int]:
    """The customers' accounts that have new lines and no snapshot of the last day."""
    rows = await db.execute(
        """
        SELECT a.id FROM ledger_accounts AS a
          LEFT JOIN ledger_lot_snapshots AS s ON s.account_id = a.id
         CROSS JOIN LATERAL (SELECT seq FROM ledger_transfers WHERE customer_id = a.id ORDER BY seq DESC LIMIT 1) AS t
         WHERE a.kind = 'customer' AND t.seq > coalesce(s.seq, 0)
           AND (s.taken_at IS NULL OR s.taken_at < now() - interval '1 day')
         ORDER BY s.taken_at NULLS FIRST LIMIT %s
        """,
        (limit,),
    )
    return [account_id for (account_id,) in await rows.fetchall()]


def _take(standing: dict[UUID, Lot], spent: Spent) -> None:
    wanted = spent.amount
    in_order = sorted((lot for lot in standing.values() if lot.left), key=lambda lot: lot.turn)
    if spent.aim is not None:
        in_order.sort(key=lambda lot: spent.aim not in {lot.id, lot.cause})
    for lot in in_order:
        if not wanted:
            return
        taken = min(lot.left, wanted)
        standing[lot.id] = replace(lot, left=lot.left - taken)
        wanted -= taken


async def _account_id(db: Connection, organization_id: UUID) -> int | None:
    rows = await db.execute(
        "SELECT id FROM ledger_accounts WHERE organization_id = %s AND kind = 'customer'", (organization_id,)
    )
    row = await rows.fetchone()
    return row[0] if row else None


async def _work_out(db: Connection, account_id: int) -> tuple[int, list[Lot]]:
    """The last line that was counted, and the lots after it."""
    seq, lots = await _snapshot(db, account_id)
    last, changes = await _changes(db, account_id, seq)
    return max(seq, last), replay(lots, changes)


async def _snapshot(db: Connection, account_id: int) -> tuple[int, list[Lot]]:
    rows = await db.execute(
        """
        SELECT s.seq, kept.left_nanos, t.seq, t.id, t.at, t.kind, t.amount_nanos, t.cause, t.note, g.kind, g.expires_at
          FROM ledger_lot_snapshots AS s
          LEFT JOIN LATERAL unnest(s.lot_ids, s.left_nanos) AS kept (id, left_nanos) ON true
          LEFT JOIN ledger_transfers AS t ON t.id = kept.id
          LEFT JOIN ledger_grants AS g ON g.id = kept.id
         WHERE s.account_id = %s
        """,
        (account_id,),
    )
    found = await rows.fetchall()
    lots = [_lot(*lot, left=left) for _, left, *lot in found if left is not None]
    return (found[0][0] if found else 0), lots


# Between two lines that make a lot or aim at one, the order of what was spent does not matter: it is added up at once.
# Those lines are few, so each is looked up by itself: for a plain join the planner expects many and reads everybody's.
_CHANGES = """
WITH lines AS (
    SELECT seq, id, amount_nanos, credit_account_id = customer_id AS is_lot,
           credit_account_id = customer_id OR kind = ANY(%(aimed)s) AS is_alone
      FROM ledger_transfers WHERE customer_id = %(account)s AND seq > %(seq)s
), numbered AS (
    SELECT *, count(*) FILTER (WHERE is_alone) OVER (ORDER BY seq) AS run FROM lines
), added AS (
    SELECT run, CASE WHEN is_alone THEN id END AS alone, bool_or(is_lot) AS is_lot, max(seq) AS seq,
           sum(amount_nanos)::bigint AS total
      FROM numbered GROUP BY 1, 2
)
SELECT a.seq, a.total, a.is_lot, t.seq, t.id, t.at, t.kind, t.amount_nanos, t.cause, t.note, g.kind, g.expires_at
  FROM added AS a
  LEFT JOIN LATERAL (SELECT * FROM ledger_transfers WHERE id = a.alone LIMIT 1) AS t ON true
  LEFT JOIN LATERAL (SELECT * FROM ledger_grants WHERE id = a.alone LIMIT 1) AS g ON true
 ORDER BY a.run, a.alone IS NULL
"""


async def _changes(db: Connection, account_id: int, after: int) -> tuple[int, list[Lot | Spent]]:
    rows = await db.execute(_CHANGES.encode(), {"account": account_id, "seq": after, "aimed": list(AIMED)})
    last, changes = 0, list[Lot | Spent]()
    for seq, total, is_lot, *line in await rows.fetchall():
        last = max(last, seq)
        changes.append(_lot(*line, left=total) if is_lot else Spent(Money(total), aim=line[5]))
    return last, changes


def _lot(  # noqa: PLR0913, PLR0917 -- the columns of a row
    seq: int,
    id_: UUID,
    at: datetime,
    kind: TransferKind,
    amount: int,
    cause: UUID | None,
    note: str,
    grant_kind: GrantKind | None,
    expires_at: datetime | None,
    *,
    left: int,
) -> Lot:
    given = (grant_kind or "promotional") if kind == "grant" else None
    return Lot(id_, seq, at, kind, Money(amount), Money(left), cause, note, given, expires_at)
