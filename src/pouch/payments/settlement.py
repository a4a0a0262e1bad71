"""Turning what the processor says into our books: one transaction per purchase, however often and from wherever."""

from uuid import UUID

import structlog

from pouch.base.database import Connection
from pouch.ledger import accounts
from pouch.ledger.operations import Transfer
from pouch.ledger.posting import post
from pouch.mail import outbox
from pouch.payments import purchases
from pouch.payments.types import Payment, Purchase, Session, card_name
from pouch.payments.verdict import judge
from pouch.web.filters import dollars, when

_log = structlog.get_logger("pouch.payments")


async def settle(db: Connection, purchase_id: UUID, session: Session, *, page: str) -> Purchase:
    """Bring a purchase up to date with its session, in the caller's transaction, and return it. Raises NotFound.

    Whoever calls this, how often, in which order and at the same time as whom does not matter: the row is locked, the
    state moves forward only, and the money is posted under the payment's own key. A payment that is found after the
    purchase failed or expired still credits.
    """
    purchase = await purchases.lock_purchase(db, purchase_id)
    customer = await purchases.find_customer(db, purchase.organization_id, purchase.mode)
    verdict = judge(purchase, customer, session)
    if not purchase.is_unpaid:
        # Any other verdict is only an old look that arrives late. These are real, and taking credits back is a posting
        # of its own: an operator has to know.
        if verdict.what in {"failed", "quarantine"}:
            _log.error(
                "payment_undone_after_credit", purchase=purchase.shown_id, verdict=verdict.what, reason=verdict.reason
            )
        return purchase
    match verdict.what:
        case "credit":
            assert session.payment is not None
            await _credit(db, purchase, session, session.payment, page)
        case "quarantine":
            if await purchases.quarantine(db, purchase.id, verdict.reason):
                _log.error("payment_quarantined", purchase=purchase.shown_id, session=session.id, reason=verdict.reason)
        case "processing":
            await purchases.move(db, purchase.id, "processing", since=["open"])
        case "failed":
            await purchases.move(db, purchase.id, "failed", since=["open", "processing"], reason=verdict.reason)
        case "expired":
            await purchases.move(db, purchase.id, "expired", since=["open"])
        case "open":
            pass
    return await purchases.get_purchase(db, purchase.id)


async def _credit(db: Connection, purchase: Purchase, session: Session, payment: Payment, page: str) -> None:
    """Credit once: the state says whether it was done, and the ledger's key would refuse a second time anyway."""
    if not await purchases.mark_credited(db, purchase.id, session, payment):
        return
    card = card_name(*payment.method)
    await post(
        db,
        [
            Transfer(
                key=f"pi:{payment.id}:credit",
                debit="stripe_clearing",
                credit=purchase.organization_id,
                amount_nanos=purchase.amount.nanos,
                kind="purchase",
                cause=purchase.id,
                note=card,
            )
        ],
    )
    credited = await purchases.get_purchase(db, purchase.id)
    assert credited.credited_at is not None
    balance = await accounts.balance(db, purchase.organization_id)
    letter = outbox.Letter(
        key=f"purchase:{purchase.id}",
        to=purchase.email,
        kind="purchase",
        context={
            "amount": dollars(purchase.amount),
            "available": dollars(balance.available),
            "before": dollars(balance.available - purchase.amount),
            "card": card,
            "number": str(purchase.number),
            "time": f"{when(credited.credited_at)} UTC",
            "receipt_url": page,
            "mode": purchase.mode,
        },
    )
    await outbox.write(db, letter)
    _log.info("purchase_credited", purchase=purchase.shown_id, payment=payment.id)
