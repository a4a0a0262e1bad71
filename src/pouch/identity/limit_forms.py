"""Reading the two fields in which people write a spending limit: of a key, and of a program."""

from pouch.base.errors import InvalidInput
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.identity.keys import PERIOD_WORDS
from pouch.ledger.books import Period


def read_limit(text: str) -> Money | None:
    """Dollars, or None for no limit. Raises InvalidInput."""
    text = text.strip().removeprefix("$")
    if not text:
        return None
    try:
        return Money.parse(text)
    except ValueError:
        raise InvalidInput(say("Write an amount in dollars such as 5 or 12.50."), field="limit") from None


def read_period(text: str) -> Period:
    """For how long a limit is. Raises InvalidInput."""
    for period in PERIOD_WORDS:
        if text == period:
            return period
    raise InvalidInput(say("Choose one of the periods."), field="period")
