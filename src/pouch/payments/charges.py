"""What a buyer pays on top of the credits: the operator's fee, and tax.

In words. The amount that is entered is what is credited. The fee is a percentage of it, rounded up to the cent, plus a
fixed amount. Tax is on both, rounded to the nearest cent (half up): at the operator's own rate, or worked out by Stripe
from the buyer's address, and then nobody knows it before the payment page does. A saved card that is charged while
nobody is there has no such page, so that tax is not charged then (docs/adr/0015).

When credits are refunded, tax goes back in proportion, and the fee where the operator says so (`parts`).
"""

from dataclasses import dataclass, replace

from pouch.base.languages import say
from pouch.base.money import ZERO, Money
from pouch.base.percent import Percent
from pouch.payments.types import TaxMode
from pouch.settings import Payments
from pouch.web.filters import dollars


@dataclass(frozen=True, slots=True)
class Quote:
    """The price of one purchase, as it is said before it begins. `tax` is None when the payment page works it out."""

    amount: Money
    fee: Money
    tax: Money | None
    tax_mode: TaxMode
    tax_name: str
    fee_comes_back: bool = False

    @property
    def before_tax(self) -> Money:
        """Credits and fee."""
        return self.amount + self.fee

    @property
    def total(self) -> Money | None:
        """What is paid, as far as it is known."""
        return None if self.tax is None else self.before_tax + self.tax


@dataclass(frozen=True, slots=True)
class Charges:
    """The operator's fee and tax."""

    fee_percent: Percent
    fee_fixed: Money
    tax_mode: TaxMode
    tax_percent: Percent
    tax_name: str
    collects_tax_id: bool
    fee_comes_back: bool = False
    """When credits are refunded."""

    @classmethod
    def of(cls, payments: Payments) -> "Charges":
        """As pouch.toml says."""
        return cls(
            payments.fee_percent,
            payments.fee_fixed_usd,
            payments.tax,
            payments.tax_percent,
            payments.tax_name,
            payments.collect_tax_id,
            payments.fee_comes_back,
        )

    def quote(self, amount: Money) -> Quote:
        """What so many credits cost. `amount` is whole cents."""
        fee, comes_back = self.fee_percent.of(amount) + self.fee_fixed, self.fee_comes_back
        match self.tax_mode:
            case "off":
                return Quote(amount, fee, ZERO, "off", "", comes_back)
            case "fixed":
                name, tax = f"{self.tax_name} {self.tax_percent}", self.tax_percent.of_half_up(amount + fee)
                return Quote(amount, fee, tax, "fixed", name, comes_back)
            case "automatic":
                return Quote(amount, fee, None, "automatic", self.tax_name, comes_back)

    @property
    def unattended(self) -> "Charges":
        """The same for a saved card that is charged while nobody is there to say an address on a payment page."""
        return replace(self, tax_mode="off") if self.tax_mode == "automatic" else self

    @property
    def is_free(self) -> bool:
        """Whether nothing comes on top."""
        return not self.fee_percent and not self.fee_fixed and self.tax_mode == "off"

    @property
    def in_words(self) -> str:
        """What comes on top of any amount, for people: "The fee is 4.4 % and $0.30. VAT of 20 % comes on top."."""
        match self.tax_mode:
            case "off":
                return self._fee_in_words
            case "fixed":
                tax = say("%(name)s of %(percent)s comes on top.", name=self.tax_name, percent=self.tax_percent)
            case "automatic":
                tax = say("%(name)s comes on top, by your address.", name=self.tax_name)
        return f"{self._fee_in_words} {tax}"

    @property
    def _fee_in_words(self) -> str:
        percent, fixed = self.fee_percent, dollars(self.fee_fixed)
        if self.fee_percent and self.fee_fixed:
            return say("The fee is %(percent)s and %(fixed)s.", percent=percent, fixed=fixed)
        if self.fee_percent:
            return say("The fee is %(percent)s.", percent=percent)
        return say("The fee is %(fixed)s.", fixed=fixed) if self.fee_fixed else say("There is no fee.")
