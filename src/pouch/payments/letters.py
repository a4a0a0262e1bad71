"""What is mailed when money goes back: to whoever bought the credits, and to the operators where somebody must act."""

from pouch.base.database import Connection
from pouch.identity.people import operator_addresses
from pouch.ledger.accounts import balance
from pouch.mail import outbox
from pouch.payments.disputes import Dispute
from pouch.payments.objects import WarningObject
from pouch.payments.refunds import Refund
from pouch.payments.types import Purchase
from pouch.web.filters import dollars, when


async def tell_refunded(db: Connection, purchase: Purchase, refund: Refund, page: str) -> None:
    """The card gets its money back, and this is what it did to the credits."""
    context = {
        **_parts(refund),
        "taken": dollars(refund.taken) if refund.taken else "",
        "note": refund.note,
        **await _frame(db, purchase, page),
    }
    await _write(db, f"refund:{refund.id}", purchase.email, "refund", context)


async def tell_refund_failed(db: Connection, purchase: Purchase, refund: Refund, page: str) -> None:
    """The refund did not happen, or came back: the credits are the customer's again."""
    context = {"amount": dollars(refund.amount), "failure": refund.failure, **await _frame(db, purchase, page)}
    await _write(db, f"refund_failed:{refund.id}", purchase.email, "refund_failed", context)
    await alert(
        db,
        f"refund_failed:{refund.id}",
        f"A refund of {dollars(refund.amount)} failed",
        [
            f"Purchase {purchase.shown_id} of {purchase.email}, refund {refund.shown_id}.",
            refund.failure,
            "Pay the money back another way, or refund again to another card.",
        ],
        f"/admin/purchases/{purchase.shown_id}",
    )


async def alert_of_revived(db: Connection, purchase: Purchase, refund: Refund) -> None:
    """What was said to have failed was carried out: whoever paid it back another way must know."""
    await alert(
        db,
        f"refund_alive:{refund.id}",
        f"A refund of {dollars(refund.amount)} that had failed was carried out after all",
        [
            f"Purchase {purchase.shown_id} of {purchase.email}, refund {refund.shown_id}.",
            "The credits were taken back now. If you paid the money back another way, it went back twice.",
        ],
        f"/admin/purchases/{purchase.shown_id}",
    )


async def tell_failed_after_all(db: Connection, purchase: Purchase, refund: Refund, page: str) -> None:
    """The bank did not pay after all, so the credits are gone."""
    context = {**_parts(refund), **await _frame(db, purchase, page)}
    await _write(db, f"refund:{refund.id}", purchase.email, "payment_failed_after_all", context)
    await alert(
        db,
        f"failed:{refund.id}",
        f"A payment of {dollars(refund.amount)} failed after it was credited",
        [
            f"Purchase {purchase.shown_id} of {purchase.email}.",
            f"{dollars(refund.taken)} of credits was taken back; {dollars(refund.owed)} had been spent and is owed.",
            f"The fee of {dollars(refund.fee)} and the tax of {dollars(refund.tax)} left their books, too.",
        ],
        f"/admin/purchases/{purchase.shown_id}",
    )


async def tell_disputed(db: Connection, purchase: Purchase, dispute: Dispute, page: str) -> None:
    """The bank took the money for a dispute, and with it the credits."""
    context = {"amount": dollars(dispute.withdrawn), **await _frame(db, purchase, page)}
    await _write(db, f"dispute:{dispute.id}:withdrawn", purchase.email, "dispute_opened", context)


async def tell_dispute_won(db: Connection, purchase: Purchase, dispute: Dispute, page: str) -> None:
    """The bank gave the money back, and with it come the credits."""
    context = {"amount": dollars(dispute.reinstated), **await _frame(db, purchase, page)}
    await _write(db, f"dispute:{dispute.id}:reinstated", purchase.email, "dispute_won", context)


async def tell_dispute_lost(db: Connection, purchase: Purchase, dispute: Dispute, page: str) -> None:
    """The bank decided for the cardholder: that is the end of it."""
    context = {"amount": dollars(dispute.withdrawn), **await _frame(db, purchase, page)}
    await _write(db, f"dispute:{dispute.id}:lost", purchase.email, "dispute_lost", context)


async def alert_of_dispute(db: Connection, purchase: Purchase, dispute: Dispute) -> None:
    """Somebody has to answer the bank, and until when."""
    due = f"{when(dispute.evidence_due_at)} UTC" if dispute.evidence_due_at else "soon"
    what = "asks about" if dispute.is_inquiry else "disputes"
    taken = "No money was taken so far." if dispute.is_inquiry else "The money and the credits were taken back."
    await alert(
        db,
        f"dispute:{dispute.id}:{'inquiry' if dispute.is_inquiry else 'dispute'}",
        f"A bank {what} {dollars(dispute.amount)}",
        [
            f"Purchase {purchase.shown_id} of {purchase.email}; the reason given is {dispute.reason}.",
            taken,
            f"Answer at the card processor by {due}.",
        ],
        f"/admin/purchases/{purchase.shown_id}",
    )


async def alert_of_warning(db: Connection, purchase: Purchase, warning: WarningObject) -> None:
    """A card network thinks that a payment was fraud; a refund now is cheaper than a dispute later."""
    lines = [f"Purchase {purchase.shown_id} of {purchase.email}; the kind given is {warning.fraud_type}."]
    if warning.actionable:
        lines.append("Refunding it now avoids a dispute and its fee.")
    await alert(
        db,
        f"warning:{warning.id}",
        f"A payment of {dollars(purchase.amount)} may be fraud",
        lines,
        f"/admin/purchases/{purchase.shown_id}",
    )


async def alert_of_late_payment(db: Connection, purchase: Purchase) -> None:
    """Somebody paid into an account that was deleted: it goes back by itself, and a person should know."""
    await alert(
        db,
        f"closed:{purchase.id}",
        f"A payment of {dollars(purchase.total or purchase.before_tax)} came for a deleted account",
        [
            f"Purchase {purchase.shown_id} of {purchase.email}.",
            "It was credited, as money that came is owed, and all of it goes back to the card that paid.",
            "Look whether the refund has gone through.",
        ],
        f"/admin/purchases/{purchase.shown_id}",
    )


async def alert(db: Connection, key: str, what: str, lines: list[str], path: str) -> None:
    """Tell every operator about something that a person must look at; once per key and operator."""
    for address in await operator_addresses(db):
        context = {"what": what, "text": "\n".join(lines), "path": path}
        await _write(db, f"alert:{key}:{address}", address, "operator_alert", context)


def _parts(refund: Refund) -> dict[str, str]:
    """What goes back, and what it is made of where that is more than credits."""
    is_more = refund.fee or refund.tax
    return {
        "amount": dollars(refund.amount),
        "credits": dollars(refund.credits) if is_more else "",
        "fee": dollars(refund.fee) if refund.fee else "",
        "tax": dollars(refund.tax) if refund.tax else "",
    }


async def _frame(db: Connection, purchase: Purchase, page: str) -> dict[str, str]:
    has = await balance(db, purchase.organization_id)
    return {
        "available": dollars(has.available),
        "owed": dollars(has.debt) if has.debt else "",
        "card": purchase.card,
        "number": str(purchase.number),
        "bought_at": f"{when(purchase.credited_at)} UTC" if purchase.credited_at else "",
        "page": page,
        "mode": purchase.mode,
        "tax_name": purchase.tax_name,
    }


async def _write(db: Connection, key: str, to: str, kind: str, context: dict[str, str]) -> None:
    await outbox.write(db, outbox.Letter(key=key, to=to, kind=kind, context=context))
