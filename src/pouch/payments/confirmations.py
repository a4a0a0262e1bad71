"""What a buyer is told by mail about a purchase, in the transaction in which it happens."""

from typing import Literal

from pouch.base.database import Connection
from pouch.base.money import ZERO, Money
from pouch.ledger import accounts
from pouch.mail import outbox
from pouch.payments.types import Purchase
from pouch.web.filters import dollars, when


async def tell_credited(
    db: Connection, purchase: Purchase, kind: Literal["purchase", "top_up"], *, before: Money, page: str
) -> None:
    """Send the confirmation: what was bought, what was paid, what is available now."""
    assert purchase.credited_at is not None
    balance = await accounts.balance(db, purchase.organization_id)
    paid_debt = await accounts.debt_paid_by(db, f"pi:{purchase.payment_id}:credit")
    tax, total = purchase.tax or ZERO, purchase.total or purchase.before_tax
    await _write(
        db,
        purchase,
        kind,
        f"purchase:{purchase.id}",
        page,
        available=dollars(balance.available),
        before=dollars(before),
        paid_debt=dollars(paid_debt) if paid_debt else "",
        card=purchase.card,
        number=str(purchase.number),
        time=f"{when(purchase.credited_at)} UTC",
        fee=dollars(purchase.fee) if purchase.fee else "",
        tax=dollars(tax) if tax else "",
        tax_name=purchase.tax_name,
        total=dollars(total),
    )


async def tell_processing(db: Connection, purchase: Purchase, *, page: str) -> None:
    """Say that the payment was begun and its bank takes its time, so that nobody pays twice."""
    await _write(db, purchase, "purchase_processing", f"purchase:{purchase.id}:processing", page)


async def tell_failed(db: Connection, purchase: Purchase, reason: str, *, page: str) -> None:
    """Say that the money did not come."""
    await _write(db, purchase, "purchase_failed", f"purchase:{purchase.id}:failed", page, reason=reason)


async def _write(db: Connection, purchase: Purchase, kind: str, key: str, page: str, **more: str) -> None:
    context = {"amount": dollars(purchase.amount), "receipt_url": page, "mode": purchase.mode, **more}
    await outbox.write(db, outbox.Letter(key=key, to=purchase.email, kind=kind, context=context))
