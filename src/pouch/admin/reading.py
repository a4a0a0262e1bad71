"""Reading what operators type: amounts, days, numbers and notes."""

from datetime import UTC, date, datetime

from pouch.base.errors import InvalidInput
from pouch.base.languages import say
from pouch.base.money import Money

NOTE_LENGTH_MAX = 200


def read_amount(text: str, field: str = "amount_usd") -> Money:
    """An amount in dollars. Raises InvalidInput."""
    try:
        return Money.parse(text.strip().removeprefix("$"))
    except ValueError:
        raise InvalidInput(say("Type an amount in dollars and cents, such as 20 or 12.50."), field=field) from None


def read_gift(text: str) -> Money:
    """An amount above zero. Raises InvalidInput."""
    amount = read_amount(text)
    if not amount:
        raise InvalidInput(say("Type more than nothing."), field="amount_usd")
    return amount


def read_note(text: str, *, required: bool = False) -> str:
    """One line. Raises InvalidInput."""
    note = " ".join(text.split())
    if len(note) > NOTE_LENGTH_MAX:
        raise InvalidInput(say("The note has at most %(most)s characters.", most=NOTE_LENGTH_MAX), field="note")
    if required and not (note and note.isprintable()):
        raise InvalidInput(say("Say what it is for; the customer reads it."), field="note")
    return note


def read_number(text: str, field: str, most: int, *, default: int | None = 1) -> int | None:
    """A whole number from 1 to `most`; the default for nothing. Raises InvalidInput."""
    text = text.strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise InvalidInput(say("Type a whole number from 1 to %(most)s.", most=f"{most:,}"), field=field)
    return int(text)


def read_day(text: str, field: str, *, is_future: bool = False) -> date | None:
    """A day such as 2026-12-31, None for nothing. Raises InvalidInput, with `is_future` also for one that is over."""
    if not text.strip():
        return None
    try:
        day = date.fromisoformat(text.strip()[:10])
    except ValueError:
        raise InvalidInput(say("Write the day as 2026-12-31."), field=field) from None
    if is_future and day < datetime.now(UTC).date():
        raise InvalidInput(say("This day is over."), field=field)
    return day
