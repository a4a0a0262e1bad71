"""Taking bought credits back, because the money for them went back: refunds, disputes, payments that failed after all.

In words. What was paid for a purchase is credits, fee and tax, and what has gone back of it is a function of all that
went (`parts.together`): no part more than was paid, and only what goes beyond the whole is the operator's loss
(`writeoff`). A purchase that was refunded and disputed cost the customer nothing twice. So each reversal posts the
difference that it makes to that function, and one that ends (a refund that came back, a dispute that was won) gives
that difference back. That makes the books the same in whatever order the news comes. The credits among it come from
what is available; those that were spent already become a debt. Fee and tax leave the books they came to.
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
from pouch.payments.parts import NOTHING, Parts, paid_for, together
from pouch.payments.refunds import NewRefund, Refund
from pouch.payments.types import Purchase, PurchaseState

_log = structlog.get_logger("pouch.payments")

COMES_BACK = later("The bank could not take the money, so it came back. The credits are yours again.")
REFUSED = later("The card processor did not carry it out. Nothing moved, and the credits are yours again.")


@dataclass(frozen=True, slots=True)
class Reversal:
    """What one reversal does to the books."""

    purchase: Purchase
    key: str
    clearing: SystemAccount
    kind: TransferKind
    parts: Parts


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
    new = NewRefund(refunds.found_id(stripe_id), "failure", paid_for(purchase).total, ZERO, stripe_id=stripe_id)
    row = await refunds.add_refund(db, purchase, new)
    await _take(db, purchase, row)
    await refunds.mark_succeeded(db, row.id)
    await letters.tell_failed_after_all(db, purchase, await refunds.get_refund(db, row.id), page)
    await _mark(db, purchase)
    _log.error("payment_failed_after_credit", purchase=purchase.shown_id, payment=purchase.payment_id)


def gone_of(purchase: Purchase, rows: Sequence[Refund], objections: Sequence[Dispute], more: Money = ZERO) -> Parts:
    """What has gone back of a purchase by these rows, and by so much more that the bank took."""
    counted = [row for row in rows if row.counts]
    asked = sum((row.parts for row in counted if row.is_asked), NOTHING)
    found = sum((row.amount for row in counted if not row.is_asked), more)
    return together(paid_for(purchase), asked, sum((each.counts for each in objections), found))


async def spoken_for(db: Connection, purchase: Purchase) -> Parts:
    """What has gone back of a purchase, or is on its way; the rest may still be refunded."""
    rows = await refunds.of_purchase(db, purchase.id)
    gone = gone_of(purchase, rows, await disputes.of_purchase(db, purchase.id))
    return sum((row.parts for row in rows if row.is_open and row.posted_at is None), gone)


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
    if row.was_given_up and not found.is_failed and await refunds.revive(db, row.id):
        # We took it for one that never was, and it is alive: the money goes, so the credits go.
        _log.error("refund_alive_after_all", purchase=purchase.shown_id, refund=row.shown_id, found=found.id)
        row = await refunds.get_refund(db, row.id)
        await letters.alert_of_revived(db, purchase, row)
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
    parts = await _difference(db, purchase, row)
    captured = min(parts.credits, row.held)
    operations: list[Operation] = []
    if row.held:
        operations.append(Capture(hold_of(row), captured.nanos, clearing, "refund", cause=purchase.id, note=row.note))
    rest = replace(parts, credits=parts.credits - captured)
    operations += await _taking(db, Reversal(purchase, row.posting_key, clearing, "refund", rest))
    taken, owed = await _post(db, operations)
    await refunds.mark_posted(db, row, taken=taken, owed=owed, parts=parts)


async def _fail(db: Connection, purchase: Purchase, row: Refund, failure: str, page: str) -> None:
    """End a refund that did not happen: release what is held, or give back what was taken."""
    was_posted = row.posted_at is not None
    if not await refunds.mark_failed(db, row.id, failure, is_returned=was_posted):
        return
    if was_posted:
        parts = await _difference(db, purchase, row)
        key = f"{row.posting_key}:returned"
        await post(db, _giving(Reversal(purchase, key, "refund_clearing", "refund", parts)))
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
        if not row.is_inquiry:
            # The bank has decided what the network only suspected.
            await disputes.trust(db, purchase)
    if row.is_lost and row.counts:
        await letters.tell_dispute_lost(db, purchase, row, page)
    if row.is_open:
        await letters.alert_of_dispute(db, purchase, row)


def _suspension(row: Dispute) -> str:
    return f"dispute:{row.stripe_id}"


async def _withdraw(db: Connection, purchase: Purchase, row: Dispute, to: Money) -> Dispute:
    amount = to - row.withdrawn
    key = _dispute_key(row, "withdrawn")
    reversal = Reversal(purchase, key, "stripe_clearing", "dispute", await _more(db, purchase, amount))
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
    parts = await _more(db, purchase, amount)
    await post(db, _giving(Reversal(purchase, key, "stripe_clearing", "dispute", parts)))
    _log.info("payment_reinstated", purchase=purchase.shown_id, dispute=row.stripe_id)
    return replace(row, reinstated=to, postings=row.postings + 1)


def _dispute_key(row: Dispute, what: Literal["withdrawn", "reinstated"]) -> str:
    # Money is withdrawn and reinstated once; a bank that changes its mind again gets keys with a number.
    usual = {"withdrawn": 0, "reinstated": 1}[what]
    key = f"dispute:{row.stripe_id}:{what}"
    return key if row.postings == usual else f"{key}:{row.postings}"


async def _difference(db: Connection, purchase: Purchase, row: Refund) -> Parts:
    """What it changes whether this refund counts, whether it does now or not."""
    objections = await disputes.of_purchase(db, purchase.id)
    others = [each for each in await refunds.of_purchase(db, purchase.id) if each.id != row.id]
    counted = replace(row, posted_at=row.posted_at or row.created_at, returned_at=None)
    return gone_of(purchase, [*others, counted], objections) - gone_of(purchase, others, objections)


async def _more(db: Connection, purchase: Purchase, amount: Money) -> Parts:
    """What it changes when the bank takes so much more than our rows count now."""
    rows, objections = await refunds.of_purchase(db, purchase.id), await disputes.of_purchase(db, purchase.id)
    return gone_of(purchase, rows, objections, amount) - gone_of(purchase, rows, objections)


async def _taking(db: Connection, back: Reversal) -> list[Operation]:
    """The operations that take the credits back, fee and tax from the books they came to, and write the rest off."""
    purchase, operations = back.purchase, list[Operation]()
    if back.parts.credits:
        await open_receivable(db, purchase.organization_id)
        operations.append(
            TakeBack(
                back.key,
                purchase.organization_id,
                back.clearing,
                back.parts.credits.nanos,
                back.kind,
                cause=purchase.id,
                note=purchase.card,
            )
        )
    operations += [
        Transfer(f"{back.key}:{name}", books, back.clearing, amount.nanos, kind, cause=purchase.id)
        for name, books, kind, amount in _of_the_operator(back)
    ]
    return operations


def _giving(back: Reversal) -> list[Operation]:
    """The operations that undo such a taking."""
    purchase, operations = back.purchase, list[Operation]()
    if back.parts.credits:
        to, amount, note = purchase.organization_id, back.parts.credits, "It came back"
        operations.append(Transfer(back.key, back.clearing, to, amount.nanos, back.kind, cause=purchase.id, note=note))
    operations += [
        Transfer(f"{back.key}:{name}", back.clearing, books, amount.nanos, kind, cause=purchase.id)
        for name, books, kind, amount in _of_the_operator(back)
    ]
    return operations


def _of_the_operator(back: Reversal) -> list[tuple[str, SystemAccount, TransferKind, Money]]:
    """What moves beside the credits: the end of its key, whose books, what kind of line, how much."""
    parts = back.parts
    lines: list[tuple[str, SystemAccount, TransferKind, Money]] = [
        ("fee", "revenue:fees", "fee", parts.fee),
        ("tax", "tax_payable", "tax", parts.tax),
        ("lost", "writeoff", back.kind, parts.lost),
    ]
    return [line for line in lines if line[-1]]


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
    state = state_of(purchase, rows, objections)
    await purchases.mark_afterwards(db, purchase.id, state)
    if state == "refunded":
        await disputes.trust(db, purchase)


def state_of(purchase: Purchase, rows: Sequence[Refund], objections: Sequence[Dispute]) -> PurchaseState:
    """What a purchase that was credited is by now."""
    taken = [each for each in objections if each.counts]
    if any(not each.is_lost for each in taken):
        return "disputed"
    if taken:
        return "dispute_lost"
    gone = gone_of(purchase, rows, objections)
    if gone.credits >= purchase.amount:
        return "refunded"
    return "part_refunded" if gone.total else "credited"
