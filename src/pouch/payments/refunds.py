"""The rows of refunds. States move by compare-and-set, under the lock of their purchase."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from psycopg.rows import DictRow, dict_row

from pouch.base.database import Connection
from pouch.base.errors import NotFound
from pouch.base.ids import derived_id, show_id
from pouch.base.languages import say
from pouch.base.money import ZERO, Money
from pouch.jobs.claims import DUE_ROWS_MAX, ERROR_CHARACTERS_MAX, Claim
from pouch.payments.objects import RefundObject
from pouch.payments.parts import Parts
from pouch.payments.types import Mode, Purchase

TABLE = "payment_refunds"

RefundState = Literal["created", "unknown", "pending", "succeeded", "failed"]
RefundSource = Literal["operator", "customer", "stripe", "failure"]
RefundReason = Literal["requested_by_customer", "duplicate", "fraudulent"]

_COLUMNS = """
id, purchase_id, organization_id, mode, source, person_id, attempt, amount_nanos, fee_nanos, tax_nanos, state,
held_nanos, taken_nanos, owed_nanos, lost_nanos, posted_at, returned_at, reason, note, stripe_id, failure, created_at,
closed_at
"""
_MONEY = ("amount", "fee", "tax", "held", "taken", "owed", "lost")


@dataclass(frozen=True, slots=True)
class Refund:
    """Money going back for one purchase, from the click to the card."""

    id: UUID
    purchase_id: UUID
    organization_id: UUID
    mode: Mode
    source: RefundSource
    person_id: UUID | None
    attempt: str | None
    amount: Money
    """All that goes to the card: credits, and these of the fee and the tax."""
    fee: Money
    tax: Money
    state: RefundState
    held: Money
    """Credits that are set aside until it is final."""
    taken: Money
    owed: Money
    lost: Money
    """What was posted beside fee and tax: from the balance, as a debt, as a loss of the operator's."""
    posted_at: datetime | None
    returned_at: datetime | None
    reason: RefundReason
    note: str
    stripe_id: str | None
    failure: str
    created_at: datetime
    closed_at: datetime | None

    @property
    def shown_id(self) -> str:
        """The id as people, links and the card processor see it."""
        return show_id("ref", self.id)

    @property
    def posting_key(self) -> str:
        """The key of what is posted beyond the hold, whose own id is the refund's."""
        return f"refund:{self.stripe_id if self.source == 'stripe' else self.shown_id}"

    @property
    def credits(self) -> Money:
        """What of it is credits."""
        return self.amount - self.fee - self.tax

    @property
    def parts(self) -> Parts:
        """What it is made of."""
        return Parts(self.credits, self.fee, self.tax)

    @property
    def is_asked(self) -> bool:
        """Whether somebody asked for it here. Else it was found at the bank, and is so much money."""
        return self.source in {"operator", "customer"}

    @property
    def is_open(self) -> bool:
        """Whether its end is not known yet."""
        return self.state in {"created", "unknown", "pending"}

    @property
    def was_given_up(self) -> bool:
        """Whether it was ended without the processor ever having named it."""
        return self.state == "failed" and self.stripe_id is None and self.posted_at is None

    @property
    def counts(self) -> Money:
        """How much of the purchase it has taken back in our books."""
        return self.amount if self.posted_at is not None and self.returned_at is None else ZERO


@dataclass(frozen=True, slots=True)
class NewRefund:
    """What somebody asks for. `attempt` was minted by the page they saw."""

    id: UUID
    source: RefundSource
    amount: Money
    """All that goes to the card."""
    held: Money
    person_id: UUID | None = None
    attempt: str | None = None
    reason: RefundReason = "requested_by_customer"
    note: str = ""
    stripe_id: str | None = None
    fee: Money = ZERO
    tax: Money = ZERO


async def add_refund(db: Connection, purchase: Purchase, new: NewRefund) -> Refund:
    """Write a refund down. The purchase is locked."""
    await db.execute(
        """
        INSERT INTO payment_refunds (id, purchase_id, organization_id, mode, source, person_id, attempt, amount_nanos,
                                     fee_nanos, tax_nanos, held_nanos, reason, note, stripe_id)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            new.id,
            purchase.id,
            purchase.organization_id,
            purchase.mode,
            new.source,
            new.person_id,
            new.attempt,
            new.amount.nanos,
            new.fee.nanos,
            new.tax.nanos,
            new.held.nanos,
            new.reason,
            new.note,
            new.stripe_id,
        ),
    )
    return await get_refund(db, new.id)


async def of_object(db: Connection, purchase: Purchase, found: RefundObject) -> Refund | None:
    """The row that stands for the processor's refund: by its id, else by the mark that we put on it."""
    rows = await _read(db, "WHERE purchase_id = %s", purchase.id)
    by_id = next((row for row in rows if row.stripe_id == found.id), None)
    return by_id or next((row for row in rows if row.stripe_id is None and row.shown_id == found.mark), None)


def found_id(stripe_id: str) -> UUID:
    """The id of the row for a refund that was not made here."""
    return derived_id(f"refund:{stripe_id}")


async def of_attempt(db: Connection, purchase_id: UUID, attempt: str) -> Refund | None:
    """The refund that the same form asked for before."""
    return next(iter(await _read(db, "WHERE purchase_id = %s AND attempt = %s", purchase_id, attempt)), None)


async def of_purchase(db: Connection, purchase_id: UUID) -> list[Refund]:
    """All refunds of a purchase, oldest first."""
    return await _read(db, "WHERE purchase_id = %s ORDER BY created_at, id", purchase_id)


async def of_organization(db: Connection, organization_id: UUID, limit: int = 100) -> list[Refund]:
    """An organization's refunds, newest first."""
    return await _read(
        db, "WHERE organization_id = %s ORDER BY created_at DESC, id DESC LIMIT %s", organization_id, limit
    )


async def find_refund(db: Connection, organization_id: UUID, refund_id: UUID) -> Refund | None:
    """One refund of this organization. None for everybody else's."""
    return next(iter(await _read(db, "WHERE organization_id = %s AND id = %s", organization_id, refund_id)), None)


async def newest(db: Connection, limit: int = 100, *, state: RefundState | None = None) -> list[Refund]:
    """Everybody's refunds, newest first, for the operator."""
    return await _read(db, "WHERE state = coalesce(%s, state) ORDER BY created_at DESC, id DESC LIMIT %s", state, limit)


async def get_refund(db: Connection, refund_id: UUID) -> Refund:
    """One refund. Raises NotFound."""
    found = await _read(db, "WHERE id = %s", refund_id)
    if not found:
        raise NotFound(say("There is no such refund."))
    return found[0]


async def mark_unknown(db: Connection, refund_id: UUID) -> None:
    """The request was sent and no answer came."""
    await db.execute("UPDATE payment_refunds SET state = 'unknown' WHERE id = %s AND state = 'created'", (refund_id,))


async def mark_known(db: Connection, refund_id: UUID, found: RefundObject) -> None:
    """The processor has it."""
    await db.execute(
        """
        UPDATE payment_refunds
           SET stripe_id = %s, state = CASE WHEN state IN ('created', 'unknown') THEN 'pending' ELSE state END
         WHERE id = %s AND (stripe_id IS NULL OR stripe_id = %s)
        """,
        (found.id, refund_id, found.id),
    )


async def revive(db: Connection, refund_id: UUID) -> bool:
    """One that was given up is found at the processor. Nothing is held for it any more. False when it is known."""
    moved = await db.execute(
        """
        UPDATE payment_refunds SET state = 'unknown', failure = '', closed_at = NULL, due_at = now()
         WHERE id = %s AND state = 'failed' AND stripe_id IS NULL AND posted_at IS NULL
        """,
        (refund_id,),
    )
    return moved.rowcount == 1


async def mark_posted(db: Connection, row: Refund, *, taken: int, owed: int, parts: Parts) -> bool:
    """The credits are taken back, and `parts` is all that was posted. False when it was before.

    What was found at the bank is known to be made of something only now.
    """
    made_of = row.parts if row.is_asked else parts
    moved = await db.execute(
        """
        UPDATE payment_refunds
           SET posted_at = now(), held_nanos = 0, taken_nanos = %s, owed_nanos = %s, lost_nanos = %s,
               fee_back_nanos = %s, tax_back_nanos = %s, fee_nanos = %s, tax_nanos = %s
         WHERE id = %s AND posted_at IS NULL
        """,
        (
            taken,
            owed,
            parts.lost.nanos,
            parts.fee.nanos,
            parts.tax.nanos,
            made_of.fee.nanos,
            made_of.tax.nanos,
            row.id,
        ),
    )
    return moved.rowcount == 1


async def mark_succeeded(db: Connection, refund_id: UUID) -> bool:
    """The card has the money. False when that was known."""
    moved = await db.execute(
        """
        UPDATE payment_refunds SET state = 'succeeded', closed_at = now(), due_at = NULL
         WHERE id = %s AND state IN ('created', 'unknown', 'pending')
        """,
        (refund_id,),
    )
    return moved.rowcount == 1


async def mark_failed(db: Connection, refund_id: UUID, failure: str, *, is_returned: bool) -> bool:
    """The money did not go, or came back. False when that was known."""
    moved = await db.execute(
        """
        UPDATE payment_refunds
           SET state = 'failed', failure = %s, held_nanos = 0, due_at = NULL, closed_at = now(),
               returned_at = CASE WHEN %s THEN now() END
         WHERE id = %s AND state <> 'failed'
        """,
        (failure, is_returned, refund_id),
    )
    return moved.rowcount == 1


async def due(db: Connection, mode: Mode) -> list[UUID]:
    """The refunds that nobody has looked at for long enough, longest due first."""
    rows = await db.execute(
        """
        SELECT id FROM payment_refunds
         WHERE due_at <= now() AND (lease_until IS NULL OR lease_until < now()) AND mode = %s
         ORDER BY due_at LIMIT %s
        """,
        (mode, DUE_ROWS_MAX),
    )
    return [refund_id for (refund_id,) in await rows.fetchall()]


async def unanswered(db: Connection, mode: Mode, within: timedelta) -> list[Refund]:
    """The refunds that were asked for longer ago than that, and of which nobody knows whether they were made."""
    where = "WHERE state IN ('created', 'unknown') AND mode = %s AND created_at < now() - %s ORDER BY id LIMIT 100"
    return await _read(db, where, mode, within)


async def come_back(db: Connection, held: Claim, error: str) -> None:
    """Be due again after as long as it has waited so far, half a minute to an hour; never again once it is final."""
    await db.execute(
        """
        UPDATE payment_refunds
           SET due_at = CASE
                   WHEN state IN ('created', 'unknown', 'pending')
                   THEN now() + least(greatest(now() - created_at, interval '30 seconds'), interval '1 hour')
               END,
               lease_until = NULL,
               error = %s
         WHERE id = %s AND epoch = %s AND lease_until IS NOT NULL
        """,
        (error.replace("\x00", "")[:ERROR_CHARACTERS_MAX], held.row_id, held.epoch),
    )


async def _read(db: Connection, where: str, *values: object) -> list[Refund]:
    cursor = db.cursor(row_factory=dict_row)
    rows = await cursor.execute(f"SELECT {_COLUMNS} FROM payment_refunds {where}", values)
    return [_refund(row) for row in await rows.fetchall()]


def _refund(row: DictRow) -> Refund:
    amounts = {name: Money(row.pop(f"{name}_nanos")) for name in _MONEY}
    return Refund(**{**row, **amounts})
