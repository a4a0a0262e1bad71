"""What money that goes back of a purchase is made of: credits, fee and tax. Pure.

In words. Credits, fee and tax of a purchase were paid together, and nothing of it goes back twice.

- *Asked for here*, so many credits are given back. The fee follows in proportion where the operator gives fees back,
  else it stays; the tax always follows, in proportion to the credits and the fee that went. Each is worked out for all
  that has gone back by then, to the nearest cent, less what went before: so the parts add up to the whole, to the cent.
- *Found at the bank* (refunded there, disputed, not paid after all), so much money is gone. It is taken from all three
  in proportion.
- *Together* no part is more than was paid. What one cannot bear the others do: tax, fee, credits, in this order. Only
  what goes beyond all that was paid is lost, and that is the operator's.
"""

from dataclasses import dataclass

from pouch.base.money import ZERO, Money
from pouch.payments.types import Purchase


@dataclass(frozen=True, slots=True)
class Parts:
    """An amount of money by what it is made of. `lost` is what was never paid and went all the same."""

    credits: Money = ZERO
    fee: Money = ZERO
    tax: Money = ZERO
    lost: Money = ZERO

    @property
    def total(self) -> Money:
        """All of it."""
        return self.credits + self.fee + self.tax + self.lost

    def __add__(self, other: "Parts") -> "Parts":
        return Parts(self.credits + other.credits, self.fee + other.fee, self.tax + other.tax, self.lost + other.lost)

    def __sub__(self, other: "Parts") -> "Parts":
        return Parts(self.credits - other.credits, self.fee - other.fee, self.tax - other.tax, self.lost - other.lost)


NOTHING = Parts()


def paid_for(purchase: Purchase) -> Parts:
    """What was paid for a purchase."""
    return Parts(purchase.amount, purchase.fee, purchase.tax or ZERO)


def asked_for(whole: Parts, gone: Parts, amount: Money, *, gives_fee: bool) -> Parts:
    """What goes to the card with so many credits, after `gone` has gone or is on its way.

    `amount` is whole cents and at most the credits that are left.
    """
    after = gone.credits + amount
    fee = _rest(_share(whole.fee, after, whole.credits), gone.fee, whole.fee) if gives_fee else ZERO
    net = after + gone.fee + fee
    tax = _rest(_share(whole.tax, net, whole.credits + whole.fee), gone.tax, whole.tax)
    return Parts(amount, fee, tax)


def together(whole: Parts, asked: Parts, found: Money) -> Parts:
    """What has gone back in all: of what was asked for here, and of so much that the bank took."""
    wanted = asked + _split(whole, found)
    credits_, fee, tax = min(wanted.credits, whole.credits), min(wanted.fee, whole.fee), min(wanted.tax, whole.tax)
    over = wanted.total - credits_ - fee - tax
    tax, over = _fill(tax, whole.tax, over)
    fee, over = _fill(fee, whole.fee, over)
    credits_, over = _fill(credits_, whole.credits, over)
    return Parts(credits_, fee, tax, over)


def _split(whole: Parts, money: Money) -> Parts:
    """So much money in proportion, each part growing with it."""
    taken = min(money, whole.total)
    tax = _share(whole.tax, taken, whole.total)
    fee = _share(whole.fee, taken - tax, whole.credits + whole.fee)
    return Parts(taken - tax - fee, fee, tax, money - taken)


def _share(part: Money, of: Money, all_: Money) -> Money:
    """`part` times `of` over `all_`, to the nearest cent, half a cent up."""
    step = all_.to_cents()
    return Money.from_cents((2 * part.to_cents() * of.to_cents() + step) // (2 * step))


def _rest(wanted: Money, gone: Money, most: Money) -> Money:
    return max(ZERO, min(wanted, most) - gone)


def _fill(part: Money, most: Money, over: Money) -> tuple[Money, Money]:
    more = min(over, most - part)
    return part + more, over - more
