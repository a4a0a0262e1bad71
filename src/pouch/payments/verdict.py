"""What the card processor's objects mean for a purchase. Pure: it reads and decides, and changes nothing."""

from dataclasses import dataclass
from typing import Literal

from pouch.base.ids import show_id
from pouch.base.money import ZERO, Money
from pouch.payments.types import CURRENCY, Decline, Payment, Purchase, Session


@dataclass(frozen=True, slots=True)
class Verdict:
    """`credit`: the money came. `quarantine`: money came, but it is not what this purchase asked for."""

    what: Literal["credit", "quarantine", "processing", "failed", "expired", "open"]
    reason: str = ""
    decline: Decline | None = None
    """Why a saved card was not charged."""


def judge_charge(purchase: Purchase, customer: str | None, payment: Payment) -> Verdict:
    """The same for a charge of a saved card, which has no session.

    Only a payment that can no longer be paid has failed: while it might still be, there is no second one.
    """
    match payment.status:
        case "succeeded":
            wrong = differences(purchase, customer, None, payment)
            return Verdict("quarantine", "; ".join(wrong)) if wrong else Verdict("credit")
        case "canceled":
            return Verdict("failed", "Nothing was charged.", payment.last_payment_error)
        case "processing":
            return Verdict("processing")
        case _:
            return Verdict("open")


def judge(purchase: Purchase, customer: str | None, session: Session) -> Verdict:
    """Decide by the payment first: a payment that succeeded counts, whatever its session or our row say by now."""
    payment = session.payment
    if payment is not None and payment.status == "succeeded":
        wrong = differences(purchase, customer, session, payment)
        return Verdict("quarantine", "; ".join(wrong)) if wrong else Verdict("credit")
    if purchase.session_id not in {None, session.id}:
        return Verdict("open")
    if session.status == "expired":
        return Verdict("expired")
    if session.status == "complete":
        if payment is not None and payment.status in {"requires_payment_method", "canceled"}:
            return Verdict("failed", "The payment did not come through. Nothing was charged.")
        return Verdict("processing")
    return Verdict("open")


def differences(purchase: Purchase, customer: str | None, session: Session | None, payment: Payment) -> list[str]:
    """What the processor's objects say otherwise than our rows, one sentence each; none, and it may be credited.

    The whole must be there: credits, fee and tax. Only a tax that Stripe works out is read from its session.
    """
    organization = show_id("org", purchase.organization_id)
    tax = tax_of(purchase, session)
    cents = (purchase.before_tax + tax).to_cents()
    said: list[tuple[str, object, object]] = [
        ("amount in cents", cents, payment.amount_received),
        ("currency", CURRENCY, payment.currency),
        ("customer", customer, payment.customer),
        ("purchase", purchase.shown_id, payment.metadata.get("purchase")),
        ("organization", organization, payment.metadata.get("organization")),
        ("live mode", purchase.mode == "live", payment.livemode),
    ]
    if session is None:
        said.append(("kind", purchase.kind, "top_up"))
    else:
        said.append(("reference", purchase.shown_id, session.client_reference_id))
    # Unknown to us after a crash between making and storing it; the key makes sure that there is only one.
    if session is not None and purchase.session_id is not None:
        said.append(("session", purchase.session_id, session.id))
    if session is not None and session.amount_total is not None:
        said.append(("total in cents", cents, session.amount_total))
    if purchase.payment_id is not None:
        said.append(("payment", purchase.payment_id, payment.id))
    return [f"{what}: {ours} asked, {theirs} found" for what, ours, theirs in said if ours != theirs]


def tax_of(purchase: Purchase, session: Session | None) -> Money:
    """The tax of a purchase: what was said before it began, or else what its payment page worked out."""
    if purchase.tax is not None:
        return purchase.tax
    return session.tax if session is not None else ZERO
