"""The rows of disputes and of fraud warnings: what the processor last told, and what has been posted for it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from psycopg.rows import DictRow, dict_row

from pouch.base.database import Connection
from pouch.base.ids import derived_id, show_id
from pouch.base.money import Money
from pouch.payments import suspensions
from pouch.payments.objects import DisputeObject, WarningObject
from pouch.payments.types import Mode, Purchase

_COLUMNS = """
id, stripe_id, purchase_id, organization_id, mode, amount_nanos, status, reason, evidence_due_at, opened_at, closed_at,
withdrawn_nanos, reinstated_nanos, owed_nanos, postings
"""
_MONEY = ("amount", "withdrawn", "reinstated", "owed")


@dataclass(frozen=True, slots=True)
class Dispute:
    """A cardholder's objection to one purchase. `withdrawn` and `reinstated` are what our books say."""

    id: UUID
    stripe_id: str
    purchase_id: UUID
    organization_id: UUID
    mode: Mode
    amount: Money
    status: str
    reason: str
    evidence_due_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None
    withdrawn: Money
    reinstated: Money
    owed: Money
    """How much of it had been spent and became a debt."""
    postings: int
    """How many times money has moved for it."""

    @property
    def shown_id(self) -> str:
        """The id as people see it."""
        return show_id("dis", self.id)

    @property
    def counts(self) -> Money:
        """How much of the purchase it has taken back in our books."""
        return self.withdrawn - self.reinstated

    @property
    def is_lost(self) -> bool:
        """Whether the bank decided for the cardholder."""
        return self.status == "lost"

    @property
    def is_inquiry(self) -> bool:
        """Whether the bank only asks, and no money was taken."""
        return self.status.startswith("warning_")

    @property
    def is_open(self) -> bool:
        """Whether it is not decided yet."""
        return self.closed_at is None


@dataclass(frozen=True, slots=True)
class FraudWarning:
    """A card network's warning about a payment."""

    stripe_id: str
    purchase_id: UUID
    fraud_type: str
    is_actionable: bool
    warned_at: datetime


async def keep(db: Connection, purchase: Purchase, found: DisputeObject) -> Dispute:
    """Write down what the processor says now. A closed dispute stays closed, whatever an old look says."""
    await db.execute(
        """
        INSERT INTO payment_disputes (id, stripe_id, purchase_id, organization_id, mode, amount_nanos, status, reason,
                                      evidence_due_at, opened_at, closed_at)
        VALUES (%(id)s, %(stripe_id)s, %(purchase)s, %(organization)s, %(mode)s, %(amount)s, %(status)s, %(reason)s,
                %(due)s, %(opened)s, CASE WHEN %(is_closed)s THEN now() END)
        ON CONFLICT ON CONSTRAINT payment_disputes_stripe_id DO UPDATE
           SET status = excluded.status, reason = excluded.reason, evidence_due_at = excluded.evidence_due_at,
               amount_nanos = excluded.amount_nanos, closed_at = excluded.closed_at
         WHERE payment_disputes.closed_at IS NULL
        """,
        {
            "id": derived_id(f"dispute:{found.id}"),
            "stripe_id": found.id,
            "purchase": purchase.id,
            "organization": purchase.organization_id,
            "mode": purchase.mode,
            "amount": Money.from_cents(found.amount).nanos,
            "status": found.status,
            "reason": found.reason,
            "due": found.evidence_due_at,
            "opened": datetime.fromtimestamp(found.created, UTC),
            "is_closed": found.is_closed,
        },
    )
    (row,) = await _read(db, "WHERE stripe_id = %s", found.id)
    return row


async def mark_moved(db: Connection, dispute: Dispute, *, withdrawn: Money, reinstated: Money, owed: Money) -> bool:
    """Note what is posted now. False when somebody else posted in the meantime."""
    moved = await db.execute(
        """
        UPDATE payment_disputes
           SET withdrawn_nanos = %s, reinstated_nanos = %s, owed_nanos = %s, postings = postings + 1
         WHERE id = %s AND postings = %s
        """,
        (withdrawn.nanos, reinstated.nanos, owed.nanos, dispute.id, dispute.postings),
    )
    return moved.rowcount == 1


async def of_purchase(db: Connection, purchase_id: UUID) -> list[Dispute]:
    """A purchase's disputes, oldest first."""
    return await _read(db, "WHERE purchase_id = %s ORDER BY opened_at, id", purchase_id)


async def newest(db: Connection, limit: int = 100) -> list[Dispute]:
    """Everybody's disputes for the operator: the open ones first, then the newest."""
    return await _read(db, "ORDER BY closed_at IS NOT NULL, opened_at DESC, id LIMIT %s", limit)


async def undecided(db: Connection, mode: Mode, limit: int = 1000) -> list[Dispute]:
    """The disputes that are open in our books, oldest first."""
    return await _read(db, "WHERE mode = %s AND closed_at IS NULL ORDER BY opened_at, id LIMIT %s", mode, limit)


async def has_open(db: Connection, organization_id: UUID) -> bool:
    """Whether money of the organization is disputed and not decided: while it is, nothing is charged by itself."""
    rows = await db.execute(
        """
        SELECT 1 FROM payment_disputes
         WHERE organization_id = %s AND closed_at IS NULL AND withdrawn_nanos > 0 LIMIT 1
        """,
        (organization_id,),
    )
    return await rows.fetchone() is not None


async def keep_warning(db: Connection, purchase: Purchase, found: WarningObject) -> bool:
    """Write a fraud warning down. False when it came before."""
    written = await db.execute(
        """
        INSERT INTO payment_warnings (stripe_id, purchase_id, fraud_type, is_actionable, warned_at)
        VALUES (%s, %s, %s, %s, %s) ON CONFLICT (stripe_id) DO NOTHING
        """,
        (found.id, purchase.id, found.fraud_type, found.actionable, datetime.fromtimestamp(found.created, UTC)),
    )
    return written.rowcount == 1


def suspects(warning_id: str) -> str:
    """The cause under which a warning of fraud suspends automatic charges."""
    return f"warning:{warning_id}"


async def trust(db: Connection, purchase: Purchase) -> int:
    """What a purchase was suspected of does not stop automatic charges any more; how many warnings there are."""
    warned = await warnings_of(db, purchase.id)
    for each in warned:
        await suspensions.lift(db, purchase.organization_id, cause=suspects(each.stripe_id))
    return len(warned)


async def warnings_of(db: Connection, purchase_id: UUID) -> list[FraudWarning]:
    """The fraud warnings about a purchase, oldest first."""
    rows = await db.execute(
        """
        SELECT stripe_id, purchase_id, fraud_type, is_actionable, warned_at FROM payment_warnings
         WHERE purchase_id = %s ORDER BY warned_at
        """,
        (purchase_id,),
    )
    return [FraudWarning(*row) for row in await rows.fetchall()]


async def _read(db: Connection, where: str, *values: object) -> list[Dispute]:
    cursor = db.cursor(row_factory=dict_row)
    rows = await cursor.execute(f"SELECT {_COLUMNS} FROM payment_disputes {where}", values)
    return [_dispute(row) for row in await rows.fetchall()]


def _dispute(row: DictRow) -> Dispute:
    amounts = {name: Money(row.pop(f"{name}_nanos")) for name in _MONEY}
    return Dispute(**{**row, **amounts})
