"""Amounts, in whole US cents, within what Stripe takes."""

from pouch.embedded.cards.errors import Refusal
from pouch.embedded.cards.form import Form
from pouch.embedded.cards.types import CURRENCY

CENTS_MIN = 50
CENTS_MAX = 99_999_999


def read_amount(form: Form, amount: str, currency: str) -> int:
    """The amount and currency of a group of parameters. Raises Refusal when either cannot be charged."""
    read_currency(form, currency)
    return check_amount(form.whole(amount) or 0, form.name(amount))


def read_currency(form: Form, key: str) -> None:
    """Refuse every currency but ours."""
    if (currency := form.needed(key)).lower() != CURRENCY:
        raise Refusal(f"Invalid currency: {currency}. This processor only knows usd.", param=form.name(key))


def check_amount(cents: int, param: str) -> int:
    """Give back an amount that Stripe would take. Raises Refusal otherwise."""
    if cents < CENTS_MIN:
        raise Refusal("Amount must be at least $0.50 usd", code="amount_too_small", param=param)
    if cents > CENTS_MAX:
        raise Refusal("Amount must be no more than $999,999.99", code="amount_too_large", param=param)
    return cents
