"""Reading the form of the auto top-up, and what it shows before anybody has typed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from pouch.base.errors import InvalidInput
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.payments.charges import Quote
from pouch.topups.switching import Overview
from pouch.topups.types import Wish

_AMOUNT = re.compile(r"[0-9]{1,6}(\.[0-9]{1,2})?", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,3}", re.ASCII)
FIELDS = ("threshold_usd", "how", "amount_usd", "target_usd", "cap_usd", "daily_max")
NOTHING = "none"
"""What a form says that showed no charge."""


@dataclass(frozen=True, slots=True)
class TopUpForm:
    """The fields as they stand in the form, as text."""

    threshold_usd: str
    how: str
    """amount, or target."""
    amount_usd: str
    target_usd: str
    cap_usd: str
    daily_max: str

    @classmethod
    def of(cls, overview: Overview) -> Self:
        """The rule that there is, else one that suits most."""
        if overview.rule is None:
            least = max(overview.limits.least, Money.from_cents(20_00))
            return cls("10.00", "amount", _text(least), "40.00", _text(Money(least.nanos * 5)), "3")
        wish = overview.rule.wish
        return cls(
            _text(wish.threshold),
            "target" if wish.target else "amount",
            _text(wish.amount) if wish.amount else "",
            _text(wish.target) if wish.target else "",
            _text(wish.cap),
            str(wish.daily_max),
        )

    @classmethod
    def typed(cls, form: Mapping[str, str], beside: Self) -> Self:
        """What was typed; what is missing stays as it was."""
        read = {name: form.get(name, getattr(beside, name)).strip()[:20] for name in FIELDS}
        return cls(**{**read, "how": "target" if read["how"] == "target" else "amount"})

    @property
    def query(self) -> str:
        """The same as it stands in an address, for the way back from the password's page."""
        return urlencode({name: getattr(self, name) for name in FIELDS})

    @property
    def wish(self) -> Wish:
        """What it asks for. Raises InvalidInput with the field."""
        by_target = self.how == "target"
        if not _COUNT.fullmatch(self.daily_max):
            raise InvalidInput(say("Type a whole number, such as 3."), field="daily_max")
        return Wish(
            threshold=_amount(self.threshold_usd, "threshold_usd"),
            amount=None if by_target else _amount(self.amount_usd, "amount_usd"),
            target=_amount(self.target_usd, "target_usd") if by_target else None,
            cap=_amount(self.cap_usd, "cap_usd"),
            daily_max=int(self.daily_max),
        )

    def would_buy(self, overview: Overview) -> Quote | None:
        """What saving it would buy and charge now; None for nothing, also when it cannot be saved."""
        try:
            return overview.would_buy(self.wish)
        except InvalidInput:
            return None

    def why_not(self, overview: Overview) -> str:
        """What keeps it from charging now, though something is missing; empty also when it cannot be saved."""
        try:
            return overview.why_not(self.wish)
        except InvalidInput:
            return ""


def shown_charge(form: Mapping[str, str]) -> Money | None:
    """The charge that the form showed. Raises InvalidInput when it says none of either: it is no form of ours."""
    text = form.get("charge", "")
    if text == NOTHING:
        return None
    if not _AMOUNT.fullmatch(text):
        raise InvalidInput(say("The form was not complete. Open Billing again."), field="charge")
    return Money.parse(text)


def charge_text(quote: Quote | None) -> str:
    """The same for the form."""
    return NOTHING if quote is None or quote.total is None else _text(quote.total)


def _amount(text: str, field: str) -> Money:
    if not _AMOUNT.fullmatch(text):
        raise InvalidInput(say("Type an amount in dollars and cents, such as 20 or 12.50."), field=field)
    return Money.parse(text)


def _text(amount: Money) -> str:
    return amount.decimal()[:-7]
