"""What may be bought, and reading the form that asks for it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

from pouch.base.errors import Conflict, InvalidInput
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.payments.charges import Charges, Quote
from pouch.settings import File

PRESETS = tuple(Money.from_cents(whole * 100) for whole in (10, 25, 50, 100))
"""Amounts with a button of their own; web/static/css/components/sum.css names them, too."""
PRESELECTED = PRESETS[1]
_TYPED = re.compile(r"[0-9]{1,6}(\.[0-9]{1,2})?", re.ASCII)


class PaymentUnderWay(Conflict):
    """Another purchase may still be paid, and the form was drawn before it began."""

    code = "payment_under_way"

    def __init__(self) -> None:
        super().__init__(say("Another payment is under way."))


@dataclass(frozen=True, slots=True)
class Offer:
    """One preset, and what would be available after buying it."""

    amount: Money
    available_after: Money
    is_chosen: bool
    quote: Quote

    @property
    def value(self) -> str:
        """As the form posts it: "25.00"."""
        return as_typed(self.amount)

    @property
    def whole(self) -> str:
        """As its button says it: "25"."""
        return self.value.removesuffix(".00")


@dataclass(frozen=True, slots=True)
class Terms:
    """The operator's limits. `is_open` is False when no card processor is set up."""

    least: Money
    most: Money
    charges: Charges
    is_open: bool

    @classmethod
    def of(cls, file: File, *, is_open: bool) -> "Terms":
        """Read the operator's limits and charges."""
        return cls(file.credits.purchase_min_usd, file.credits.purchase_max_usd, Charges.of(file.payments), is_open)

    def offers(self, available: Money, chosen: str = "") -> list[Offer]:
        """The presets within the limits; one of them is chosen already."""
        allowed = [amount for amount in PRESETS if self.least <= amount <= self.most]
        wanted = [amount for amount in allowed if as_typed(amount) == chosen]
        first = (wanted or [amount for amount in allowed if amount == PRESELECTED] or allowed)[:1]
        return [
            Offer(amount, available + amount, is_chosen=amount in first, quote=self.charges.quote(amount))
            for amount in allowed
        ]

    def summary(self, amount: Money, available: Money) -> Offer:
        """The price of any amount."""
        return Offer(amount, available + amount, is_chosen=True, quote=self.charges.quote(amount))

    @staticmethod
    def new_attempt() -> str:
        """The key of one intention to buy. It stands in the form, so a form that is sent twice is one purchase."""
        return str(uuid4())


def as_typed(amount: Money) -> str:
    """Whole cents as a form posts them: "25.00"."""
    return amount.decimal()[:-7]


def read_amount(form: Mapping[str, str]) -> Money:
    """How much the form asks for: an amount that was typed counts, else the preset. Limits are the checkout's to keep.

    Raises InvalidInput with a sentence for beside the field.
    """
    text = form.get("amount_usd", "").strip() or form.get("preset", "").strip()
    if not text:
        raise InvalidInput(say("Choose an amount or type one."), field="amount_usd")
    if not _TYPED.fullmatch(text):
        raise InvalidInput(say("Type an amount in dollars and cents, such as 20 or 12.50."), field="amount_usd")
    return Money.parse(text)
