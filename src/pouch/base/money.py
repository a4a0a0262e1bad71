"""US dollars as exact integers: $1 is 1_000_000_000 nano-dollars, so one token has a price."""

import re
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import BeforeValidator

NANOS_PER_DOLLAR = 1_000_000_000
NANOS_PER_CENT = 10_000_000
NANOS_MAX = 2**63 - 1

# ASCII digits only: Arabic or full-width digits are digits to str.isdigit, not to a bank.
_DOLLARS = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,9}))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount of US dollars, held in nano-dollars. It may be negative."""

    nanos: int

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read "12", "12.5" or "12.345678901".

        Raises ValueError for anything that is not a plain decimal with up to nine places: signs, exponents,
        separators, spaces, digits of other scripts, and amounts a balance could not store.
        """
        parts = _DOLLARS.fullmatch(text) if isinstance(text, str) else None
        if parts is None:
            raise ValueError(f"{str(text)[:40]!r} is not an amount in dollars such as 12.50")
        whole, part = parts.groups(default="")
        nanos = int(whole) * NANOS_PER_DOLLAR + int(part.ljust(9, "0"))
        if nanos > NANOS_MAX:
            raise ValueError(f"{text} dollars is more than a balance can hold")
        return cls(nanos)

    @classmethod
    def from_cents(cls, cents: int) -> Self:
        """Read an amount as Stripe states it."""
        return cls(cents * NANOS_PER_CENT)

    def to_cents(self) -> int:
        """State the amount for Stripe. Raises ValueError if part of a cent would be lost."""
        cents, rest = divmod(self.nanos, NANOS_PER_CENT)
        if rest:
            raise ValueError(f"{self} is not a whole number of cents")
        return cents

    def decimal(self) -> str:
        """All nine places and no dollar sign, for machines: "12.345678901"."""
        whole, part = divmod(abs(self.nanos), NANOS_PER_DOLLAR)
        return f"{'-' if self.nanos < 0 else ''}{whole}.{part:09d}"

    def __add__(self, other: Self) -> Self:
        return type(self)(self.nanos + other.nanos)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.nanos - other.nanos)

    def __neg__(self) -> Self:
        return type(self)(-self.nanos)

    def __bool__(self) -> bool:
        return self.nanos != 0

    def __str__(self) -> str:
        """All nine decimals, exact. Pages use the `dollars` filter, which floors to the cent."""
        sign, digits = ("-", self.decimal()[1:]) if self.nanos < 0 else ("", self.decimal())
        return f"{sign}${digits}"


ZERO = Money(0)


def _read(value: object) -> Money:
    # Only text is exact: a number in TOML or JSON is binary and has lost digits before it reaches us, and the fields of
    # Money itself are not for files to fill in.
    if isinstance(value, Money):
        return value
    if not isinstance(value, str):
        raise ValueError('an amount is written as text, such as "5.00"')  # noqa: TRY004 -- pydantic reports ValueError
    return Money.parse(value)


Dollars = Annotated[Money, BeforeValidator(_read)]
"""A pydantic field that takes exact decimal text only."""
