"""Turning what the processor says into our books: one transaction per purchase, however often and from wherever."""

from dataclasses import dataclass
from uuid import UUID

import structlog

from pouch.base.database import Connection
from pouch.base.money import Money
from pouch.ledger import accounts, thresholds
from pouch.ledger.operations import SystemAccount, Transfer
from pouch.ledger.posting import post
from pouch.payments import closings, confirmations, letters, purchases, reversals
from pouch.payments.hooks import Automatic
from pouch.payments.types import Decline, Payment, Purchase, PurchaseState, Session, card_name
from pouch.payments.verdict import Verdict, judge, judge_charge, tax_of

_log = structlog.get_logger("pouch.payments")


async def settle(db: Connection, purchase_id: UUID, session: Session, *, page: str, automatic: Automatic) -> Purchase:
    """Bring a purchase up to date with its session, in the caller's transaction, and return it. Raises NotFound.

    Whoever calls this, how often, in which order and at the same time as whom does not matter: the row is locked, the
    state moves forward only, and the money is posted under the payment's own key. A payment that is found after the
    purchase failed or expired still credits.
    """
    purchase = await purchases.lock_purchase(db, purchase_id)
    customer = await purchases.customer_of(db, purchase)
    found = Found(session, session.payment, page, automatic)
    return await _follow(db, purchase, judge(purchase, customer, session), found)


async def settle_charge(
    db: Connection, purchase_id: UUID, payment: Payment, *, page: str, automatic: Automatic
) -> Purchase:
    """The same for the charge of a saved card, which has a payment and no session."""
    purchase = await purchases.lock_purchase(db, purchase_id)
    customer = await purchases.customer_of(db, purchase)
    await purchases.note_payment(db, purchase.id, payment.id)
    verdict = judge_charge(purchase, customer, payment)
    return await _follow(db, purchase, verdict, Found(None, payment, page, automatic))


async def refuse_charge(db: Connection, purchase_id: UUID, verdict: Verdict, *, automatic: Automatic) -> Purchase:
    """A saved card was not charged and will not be: nothing exists at the processor that could still be paid."""
    purchase = await purchases.lock_purchase(db, purchase_id)
    await _fail(db, purchase, verdict, Found(None, None, "", automatic))
    return await purchases.get_purchase(db, purchase.id)


@dataclass(frozen=True, slots=True)
class Found:
    """What the processor has for a purchase, our page about it, and who wants to hear of it."""

    session: Session | None
    payment: Payment | None
    page: str
    automatic: Automatic

    @property
    def unpaid(self) -> list[PurchaseState]:
        """The states from which it may go on: a charge of a saved card is never open, since there is no page."""
        return ["open"] if self.session else ["created"]


async def _follow(db: Connection, purchase: Purchase, verdict: Verdict, found: Found) -> Purchase:
    if not purchase.is_unpaid:
        return await _look_again(db, purchase, verdict, found)
    match verdict.what:
        case "credit":
            await _credit(db, purchase, found)
        case "quarantine":
            if await purchases.quarantine(db, purchase.id, verdict.reason):
                _log.error("payment_quarantined", purchase=purchase.shown_id, reason=verdict.reason)
        case "processing":
            await _wait(db, purchase, found)
        case "failed":
            await _fail(db, purchase, verdict, found)
        case "expired":
            await purchases.move(db, purchase.id, "expired", since=["open"])
        case "open":
            pass
    await note_pending(db, purchase.organization_id)
    return await purchases.get_purchase(db, purchase.id)


async def _look_again(db: Connection, purchase: Purchase, verdict: Verdict, found: Found) -> Purchase:
    """What a look at a purchase that is credited may find. Most are only old looks that arrive late."""
    payment = found.payment
    if verdict.what == "failed" and payment is not None and payment.id == purchase.payment_id:
        await reversals.fail_after_all(db, purchase, page=found.page)
        return await purchases.get_purchase(db, purchase.id)
    if verdict.what == "quarantine":
        _log.error("payment_differs_after_credit", purchase=purchase.shown_id, reason=verdict.reason)
    return purchase


async def note_pending(db: Connection, organization_id: UUID) -> None:
    """Let the threshold of an auto top-up know what is on its way, so that nothing is bought twice."""
    if await thresholds.lock_threshold(db, organization_id):
        await thresholds.set_pending(db, organization_id, await purchases.pending_total(db, organization_id))


async def _wait(db: Connection, purchase: Purchase, found: Found) -> None:
    # Of a top-up its own room tells.
    if await purchases.move(db, purchase.id, "processing", since=found.unpaid) and found.session:
        await confirmations.tell_processing(db, purchase, page=found.page)


async def _fail(db: Connection, purchase: Purchase, verdict: Verdict, found: Found) -> None:
    if not await purchases.move(db, purchase.id, "failed", since=[*found.unpaid, "processing"], reason=verdict.reason):
        return
    await found.automatic.declined(db, purchase, verdict.decline or Decline())
    if found.session:
        await confirmations.tell_failed(db, purchase, verdict.reason, page=found.page)


async def _credit(db: Connection, purchase: Purchase, found: Found) -> None:
    """Credit once: the state says whether it was done, and the ledger's key would refuse a second time anyway."""
    payment = found.payment
    assert payment is not None
    tax, session_id = tax_of(purchase, found.session), found.session.id if found.session else None
    if not await purchases.mark_credited(db, purchase.id, session_id, payment, tax=tax):
        return
    # The room above locks its rule before the ledger locks the account, as it does everywhere.
    is_top_up = await found.automatic.paid(db, purchase)
    before = (await accounts.balance(db, purchase.organization_id)).available
    card = card_name(*payment.method)
    await post(db, transfers_of(payment.id, purchase, tax, f"Auto top-up, {card}" if is_top_up else card))
    credited = await purchases.get_purchase(db, purchase.id)
    await confirmations.tell_credited(
        db, credited, "top_up" if is_top_up else "purchase", before=before, page=found.page
    )
    _log.info("purchase_credited", purchase=purchase.shown_id, payment=payment.id)
    if await closings.wake(db, purchase.organization_id):
        await letters.alert_of_late_payment(db, credited)


def transfers_of(payment_id: str, purchase: Purchase, tax: Money, note: str) -> list[Transfer]:
    """Where the money of a payment goes: the credits to the customer, fee and tax to the operator's books."""
    clearing: SystemAccount = "stripe_clearing"
    cause = purchase.id
    key = f"pi:{payment_id}"
    wanted = [
        Transfer(f"{key}:credit", clearing, purchase.organization_id, purchase.amount.nanos, "purchase", cause, note)
    ]
    if purchase.fee:
        wanted.append(Transfer(f"{key}:fee", clearing, "revenue:fees", purchase.fee.nanos, "fee", cause))
    if tax:
        wanted.append(Transfer(f"{key}:tax", clearing, "tax_payable", tax.nanos, "tax", cause))
    return wanted
