"""How much is charged, and what may be set. Pure.

In words. The gap is what is missing to the threshold, counting the posted balance and what is pending. One charge
closes it: in whole steps of the amount, or up to the target. It never goes beyond what is left of the month's cap or
the operator's largest purchase; if not even one step, or the smallest purchase, fits, nothing is charged and the
person is told. As many charges a day as were set, and no more. What could never work is refused when it is saved, not
when it is needed: the largest charge that may be wanted, from an empty balance, must fit the cap and the operator's
limits. The amount, and the operator's limits, are credits; the month's cap counts all that is charged, fee and tax
among it.
"""

from dataclasses import dataclass
from typing import Literal

from pouch.base.errors import InvalidInput
from pouch.base.languages import say
from pouch.base.money import NANOS_PER_CENT, Money
from pouch.payments.charges import Charges, Quote
from pouch.topups.types import Wish
from pouch.web.filters import dollars

DAILY_MAX = 10
CAP_MAX = Money.from_cents(100_000_00)

Why = Literal["monthly_cap", "daily_count", "too_large"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The operator's: the smallest and the largest purchase, and what comes on top of one that charges a saved card."""

    least: Money
    most: Money
    charges: Charges

    def charged(self, amount: Money) -> Money:
        """What so many credits cost."""
        return self.charges.quote(amount).before_tax + (self.charges.quote(amount).tax or Money(0))

    def affordable(self, left: Money, step: Money, most: Money) -> Money:
        """The most credits, in whole steps and up to `most`, whose charge is not above `left`."""
        low, high = 0, most.nanos // step.nanos
        while low < high:
            middle = (low + high + 1) // 2
            if self.charged(Money(middle * step.nanos)) <= left:
                low = middle
            else:
                high = middle - 1
        return Money(low * step.nanos)


@dataclass(frozen=True, slots=True)
class Standing:
    """How things are with an organization: its money, and what the rule has charged."""

    balance: Money
    pending: Money
    used_in_month: Money
    tried_today: int


@dataclass(frozen=True, slots=True)
class Charge:
    """So many credits are to be bought, for so much."""

    quote: Quote

    @property
    def amount(self) -> Money:
        """The credits."""
        return self.quote.amount

    @property
    def total(self) -> Money:
        """What is charged."""
        return self.quote.before_tax + (self.quote.tax or Money(0))


@dataclass(frozen=True, slots=True)
class Blocked:
    """Something is missing, and nothing may be charged."""

    why: Why


def size(wish: Wish, standing: Standing, limits: Limits) -> Charge | Blocked | None:
    """What is to be charged now. None when nothing is missing."""
    has = standing.balance + standing.pending
    gap = wish.threshold.nanos - has.nanos
    if gap <= 0:
        return None
    if standing.tried_today >= wish.daily_max:
        return Blocked("daily_count")
    left = Money(max(0, wish.cap.nanos - standing.used_in_month.nanos))
    wanted = min(Money(_wanted(wish, has, gap)), limits.most)
    step = wish.amount if wish.amount is not None else Money(NANOS_PER_CENT)
    amount = limits.affordable(left, step, wanted)
    if amount < limits.least or not amount:
        return Blocked("monthly_cap" if left < limits.charged(limits.most) else "too_large")
    return Charge(limits.charges.quote(amount))


def largest(wish: Wish) -> Money:
    """The most credits that may be wanted at once: from an empty balance."""
    return Money(_wanted(wish, Money(0), wish.threshold.nanos))


def check(wish: Wish, limits: Limits) -> None:
    """Refuse what could never work. Raises InvalidInput with the field and a sentence for beside it."""
    _whole_cents(wish)
    if not Money.from_cents(1_00) <= wish.threshold <= limits.most:
        raise InvalidInput(f"Type a limit from $1.00 to {dollars(limits.most)}.", field="threshold_usd")
    if wish.amount is not None and not limits.least <= wish.amount <= limits.most:
        raise InvalidInput(
            f"The amount must be from {dollars(limits.least)} to {dollars(limits.most)}.", field="amount_usd"
        )
    if wish.target is not None:
        least = wish.threshold + limits.least
        if not least <= wish.target <= limits.most:
            raise InvalidInput(
                f"Fill up to at least {dollars(least)}, which is your limit and the smallest purchase, and at most "
                f"{dollars(limits.most)}.",
                field="target_usd",
            )
    if largest(wish) > limits.most:
        raise InvalidInput(
            f"From an empty balance this would charge {dollars(largest(wish))} at once; the most that can be bought "
            f"is {dollars(limits.most)}.",
            field="threshold_usd",
        )
    charge = limits.charged(largest(wish))
    if not charge <= wish.cap <= CAP_MAX:
        raise InvalidInput(
            f"One charge can be {dollars(charge)}, so the month must allow at least that, and at most "
            f"{dollars(CAP_MAX)}.",
            field="cap_usd",
        )
    if not 1 <= wish.daily_max <= DAILY_MAX:
        raise InvalidInput(f"Type a number from 1 to {DAILY_MAX}.", field="daily_max")


def _wanted(wish: Wish, has: Money, gap: int) -> int:
    if wish.amount is not None:
        return -(-gap // wish.amount.nanos) * wish.amount.nanos
    assert wish.target is not None
    return -(-(wish.target.nanos - has.nanos) // NANOS_PER_CENT) * NANOS_PER_CENT


def _whole_cents(wish: Wish) -> None:
    named = {
        "threshold_usd": wish.threshold,
        "amount_usd": wish.amount,
        "target_usd": wish.target,
        "cap_usd": wish.cap,
    }
    for field, amount in named.items():
        if amount is not None and amount.nanos % NANOS_PER_CENT:
            raise InvalidInput(say("Cards are charged in whole cents."), field=field)
