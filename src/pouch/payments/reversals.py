"""Taking bought credits back, because the money for them went back: refunds, disputes, payments that failed after all.

In words. Of a purchase of C dollars, everything that went back together takes at most C from the customer; what goes
beyond is the operator's loss (`writeoff`): a purchase that was refunded and disputed cost the customer nothing twice.
So each reversal takes the difference that it makes to min(C, sum of all reversals), and one that ends (a refund that
came back, a dispute that was won) gives that difference back. That makes the books the same in whatever order the news
comes. What is taken comes from what is available; credits that were spent already become a debt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

import structlog

from pouch.base.database import Connection
from pouch.base.languages import later
from pouch.base.money import ZERO, Money
from pouch.ledger.accounts import open_receivable
from pouch.ledger.operations import (
    Capture,
    Captured,
    Hold,
    Operation,
    Release,
    SystemAccount,
    TakeBack,
    TakenBack,
    Transfer,
    TransferKind,
)
from pouch.ledger.posting import post
from pouch.payments import disputes, letters, purchases, refunds, suspensions
from pouch.payments.disputes import Dispute
from pouch.payments.objects import DisputeObject, MoneyBack, RefundObject
from pouch.payments.refunds import NewRefund, Refund
from pouch.payments.types import Purchase, PurchaseState

_log = structlog.get_logger("pouch.payments")

COMES_BACK = later("The bank could not take the money, so it came back. The credits are yours again.")
REFUSED = later("The card processor did not carry it out. Nothing moved, and the credits are yours again.")


@dataclass(frozen=True, slots=True)
class Reversal:
    """What one reversal does to the books: `share` is the customer's, `lost` the operator's."""

    purchase: Purchase
    key: str
    clearing: SystemAccount
    kind: TransferKind
    share: Money
    lost: Money


async def apply(db: Connection, purchase_id: UUID, back: MoneyBack, *, page: str) -> Purchase:
    """Bring a credited purchase up to date with what the processor says went back, in the caller's transaction.

    The purchase is locked. Repeating it, in any order and with old news, changes nothing more. Raises NotFound.
    """
    purchase = await purchases.lock_purchase(db, purchase_id)
    assert purchase.credited_at is not None, "the credit comes first"
    for found in back.refunds:
        await _apply_refund(db, purchase, found, page)
    for dispute in back.disputes:
        await _apply_dispute(db, purchase, dispute, page)
    await _mark(db, purchase)
    return await purchases.get_purchase(db, purchase.id)


async def give_up(db: Connection, refund: Refund, failure: str, *, page: str) -> None:
    """End a refund that the processor refused or never had: the credits that were held come back."""
    purchase = await purchases.lock_purchase(db, refund.purchase_id)
    refund = await refunds.get_refund(db, refund.id)
    if refund.state in {"created", "unknown"}:
        await _fail(db, purchase, refund, failure, page)
        await _mark(db, purchase)


async def fail_after_all(db: Connection, purchase: Purchase, *, page: str) -> None:
    """Take a payment back that was credited and that the bank then did not pay. The purchase is locked.

    It is written down as a refund that nobody asked for, under the payment's own key.
    """
    stripe_id = f"{purchase.payment_id}:failed"
    if any(row.stripe_id == stripe_id for row in await refunds.of_purchase(db, purchase.id)):
        return
    new = NewRefund(refunds.found_id(stripe_id), "failure", purchase.amount, ZERO, stripe_id=stripe_id)
    row = await refunds.add_refund(db, purchase, new)
    await _take(db, purchase, row)
    await refunds.mark_succeeded(db, row.id)
    await letters.tell_failed_after_all(db, purchase, await refunds.get_refund(db, row.id), page)
    await _mark(db, purchase)
    _log.error("payment_failed_after_credit", purchase=purchase.shown_id, payment=purchase.payment_id)


async def total(db: Connection, purchase_id: UUID) -> Money:
    """How much of a purchase has gone back in our books; refunds and disputes together may be more than it was."""
    refunded = sum((row.counts for row in await refunds.of_purchase(db, purchase_id)), ZERO)
    return sum((row.counts for row in await disputes.of_purchase(db, purchase_id)), refunded)


async def left_to_refund(db: Connection, purchase: Purchase) -> Money:
    """What may still be refunded: the purchase without all that went back or is on its way."""
    rows = await refunds.of_purchase(db, purchase.id)
    under_way = sum((row.amount for row in rows if row.is_open and row.posted_at is None), ZERO)
    return max(ZERO, purchase.amount - await total(db, purchase.id) - under_way)


async def _apply_refund(db: Connection, purchase: Purchase, found: RefundObject, page: str) -> None:
    row = await refunds.of_object(db, purchase, found)
    if row is None and found.is_failed:
        return
    if row is None:
        amount = Money.from_cents(found.amount)
        new = NewRefund(refunds.found_id(found.id), "stripe", amount, ZERO, stripe_id=found.id)
        row = await refunds.add_refund(db, purchase, new)
        _log.info("refund_found", purchase=purchase.shown_id, refund=found.id)
    if row.amount != Money.from_cents(found.amount):
        _log.error("refund_differs", purchase=purchase.shown_id, refund=row.shown_id, found=found.amount)
        return
    await refunds.mark_known(db, row.id, found)
    if found.is_failed:
        await _fail(db, purchase, row, COMES_BACK if row.posted_at is not None else REFUSED, page)
        return
    if row.state == "failed":
        # An old look that arrives late: a refund that failed never goes on.
        return
    # Credits that nobody holds could be spent while the money is on its way to the card.
    if found.is_final or not row.held:
        await _take(db, purchase, row)
    if found.is_final and await refunds.mark_succeeded(db, row.id):
        await letters.tell_refunded(db, purchase, await refunds.get_refund(db, row.id), page)


async def _take(db: Connection, purchase: Purchase, row: Refund) -> None:
    """Post a refund once: what was held is captured, more is taken back."""
    if row.posted_at is not None:
        return
    clearing: SystemAccount = "stripe_clearing" if row.source == "failure" else "refund_clearing"
    share = await _share(db, purchase, row.amount)
    captured = min(share, row.held)
    operations: list[Operation] = []
    if row.held:
        operations.append(Capture(hold_of(row), captured.nanos, clearing, "refund", cause=purchase.id, note=row.note))
    operations += await _taking(
        db, Reversal(purchase, row.posting_key, clearing, "refund", share - captured, row.amount - share)
    )
    taken, owed = await _post(db, operations)
    await refunds.mark_posted(db, row.id, taken=taken, owed=owed, lost=(row.amount - share).nanos)


async def _fail(db: Connection, purchase: Purchase, row: Refund, failure: str, page: str) -> None:
    """End a refund that did not happen: release what is held, or give back what was taken."""
    was_posted = row.posted_at is not None
    if not await refunds.mark_failed(db, row.id, failure, is_returned=was_posted):
        return
    if was_posted:
        # It counts no more, so the share is what it made of a difference.
        share = await _share(db, purchase, row.amount)
        key = f"{row.posting_key}:returned"
        await post(db, _giving(Reversal(purchase, key, "refund_clearing", "refund", share, row.amount - share)))
    elif row.held:
        await post(db, [Release(hold_of(row))])
    await letters.tell_refund_failed(db, purchase, await refunds.get_refund(db, row.id), page)
    _log.warning("refund_failed", purchase=purchase.shown_id, refund=row.shown_id, was_posted=was_posted)


async def _apply_dispute(db: Connection, purchase: Purchase, found: DisputeObject, page: str) -> None:
    row = await disputes.keep(db, purchase, found)
    if found.withdrawn > row.withdrawn:
        row = await _withdraw(db, purchase, row, found.withdrawn)
        await letters.tell_disputed(db, purchase, row, page)
    if found.reinstated > row.reinstated:
        row = await _reinstate(db, purchase, row, found.reinstated)
        await letters.tell_dispute_won(db, purchase, row, page)
    if not row.is_open:
        await suspensions.lift(db, purchase.organization_id, cause=_suspension(row))
    if row.is_lost and row.counts:
        await letters.tell_dispute_lost(db, purchase, row, page)
    if row.is_open:
        await letters.alert_of_dispute(db, purchase, row)


def _suspension(row: Dispute) -> str:
    return f"dispute:{row.stripe_id}"


async def _withdraw(db: Connection, purchase: Purchase, row: Dispute, to: Money) -> Dispute:
    amount = to - row.withdrawn
    share = await _share(db, purchase, amount)
    key = _dispute_key(row, "withdrawn")
    reversal = Reversal(purchase, key, "stripe_clearing", "dispute", share, amount - share)
    _, owed = await _post(db, await _taking(db, reversal))
    owes = row.owed + Money(owed)
    await disputes.mark_moved(db, row, withdrawn=to, reinstated=row.reinstated, owed=owes)
    await suspensions.suspend(
        db,
        purchase.organization_id,
        cause=_suspension(row),
        reason=later("A payment is disputed. Nothing is charged by itself until the bank has decided."),
    )
    _log.error("payment_disputed", purchase=purchase.shown_id, dispute=row.stripe_id, reason=row.reason)
    return replace(row, withdrawn=to, owed=owes, postings=row.postings + 1)


async def _reinstate(db: Connection, purchase: Purchase, row: Dispute, to: Money) -> Dispute:
    amount = to - row.reinstated
    key = _dispute_key(row, "reinstated")
    await disputes.mark_moved(db, row, withdrawn=row.withdrawn, reinstated=to, owed=row.owed)
    share = await _share(db, purchase, amount)
    await post(db, _giving(Reversal(purchase, key, "stripe_clearing", "dispute", share, amount - share)))
    _log.info("payment_reinstated", purchase=purchase.shown_id, dispute=row.stripe_id)
    return replace(row, reinstated=to, postings=row.postings + 1)


def _dispute_key(row: Dispute, what: Literal["withdrawn", "reinstated"]) -> str:
    # Money is withdrawn and reinstated once; a bank that changes its mind again gets keys with a number.
    usual = {"withdrawn": 0, "reinstated": 1}[what]
    key = f"dispute:{row.stripe_id}:{what}"
    return key if row.postings == usual else f"{key}:{row.postings}"


async def _share(db: Connection, purchase: Purchase, amount: Money) -> Money:
    """What the customer bears of so much more going back than our rows count now."""
    went = await total(db, purchase.id)
    return min(purchase.amount, went + amount) - min(purchase.amount, went)


async def _taking(db: Connection, back: Reversal) -> list[Operation]:
    """The operations that take the customer's share back and write the rest off."""
    purchase, operations = back.purchase, list[Operation]()
    if back.share:
        await open_receivable(db, purchase.organization_id)
        operations.append(
            TakeBack(
                back.key,
                purchase.organization_id,
                back.clearing,
                back.share.nanos,
                back.kind,
                cause=purchase.id,
                note=purchase.card,
            )
        )
    if back.lost:
        key = f"{back.key}:lost"
        operations.append(Transfer(key, "writeoff", back.clearing, back.lost.nanos, back.kind, cause=purchase.id))
    return operations


def _giving(back: Reversal) -> list[Operation]:
    """The operations that undo such a taking."""
    purchase, operations = back.purchase, list[Operation]()
    if back.share:
        to, note = purchase.organization_id, "It came back"
        operations.append(
            Transfer(back.key, back.clearing, to, back.share.nanos, back.kind, cause=purchase.id, note=note)
        )
    if back.lost:
        key = f"{back.key}:lost"
        operations.append(Transfer(key, back.clearing, "writeoff", back.lost.nanos, back.kind, cause=purchase.id))
    return operations


async def _post(db: Connection, operations: list[Operation]) -> tuple[int, int]:
    """What came from the balance and what became a debt."""
    taken = owed = 0
    for answer in await post(db, operations):
        match answer:
            case Captured(charged_nanos=charged):
                taken += charged
            case TakenBack(taken_nanos=from_balance, owed_nanos=debt):
                taken, owed = taken + from_balance, owed + debt
            case _:
                pass
    return taken, owed


def hold_of(row: Refund) -> Hold:
    """The hold that a refund has on the credits. Its id is the refund's."""
    return Hold(row.id, row.organization_id, row.held.nanos)


async def _mark(db: Connection, purchase: Purchase) -> None:
    rows, objections = await refunds.of_purchase(db, purchase.id), await disputes.of_purchase(db, purchase.id)
    state = state_of(purchase.amount, rows, objections)
    await purchases.mark_afterwards(db, purchase.id, state)


def state_of(amount: Money, rows: Sequence[Refund], objections: Sequence[Dispute]) -> PurchaseState:
    """What a purchase that was credited is by now."""
    taken = [each for each in objections if each.counts]
    if any(not each.is_lost for each in taken):
        return "disputed"
    if taken:
        return "dispute_lost"
    refunded = sum((row.counts for row in rows), ZERO)
    if refunded >= amount:
        return "refunded"
    return "part_refunded" if refunded else "credited"
