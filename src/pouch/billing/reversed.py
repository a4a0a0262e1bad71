"""What went back of a purchase, as its page and its receipt show it."""

from dataclasses import dataclass

from pouch.base.database import Connection
from pouch.base.money import ZERO, Money
from pouch.ledger.accounts import balance, debt_paid_by
from pouch.payments import disputes, refunds
from pouch.payments.refunding import Refunding
from pouch.payments.refunds import Refund
from pouch.payments.types import Purchase


@dataclass(frozen=True, slots=True)
class Back:
    """Refunds and what the bank took; `refundable` is what the buyer may still take back by themselves."""

    refunds: list[Refund]
    refunded: Money
    withdrawn: Money
    kept: Money
    """What was paid in the end, fee and tax among it."""
    refundable: Money
    """What goes to the card then, with what of fee and tax comes back."""
    paid_debt: Money
    """What this purchase paid of what was owed before."""
    debt: Money


async def load_back(db: Connection, purchase: Purchase, refunding: Refunding) -> Back:
    """Read it for one purchase."""
    rows = await refunds.of_purchase(db, purchase.id)
    refunded = sum((row.amount for row in rows if row.state == "succeeded"), ZERO)
    withdrawn = sum((row.counts for row in await disputes.of_purchase(db, purchase.id)), ZERO)
    has = await balance(db, purchase.organization_id)
    unused = await refunding.self_service(db, purchase)
    paid = purchase.total or purchase.before_tax
    is_back = purchase.state in {"part_refunded", "refunded", "disputed", "dispute_lost"}
    return Back(
        refunds=rows,
        refunded=refunded,
        withdrawn=withdrawn,
        kept=max(ZERO, paid - refunded - withdrawn),
        refundable=(await refunding.parts(db, purchase, unused)).total if unused else ZERO,
        paid_debt=await debt_paid_by(db, f"pi:{purchase.payment_id}:credit") if purchase.payment_id else ZERO,
        debt=has.debt if is_back else ZERO,
    )
