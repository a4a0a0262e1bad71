"""Percentages as exact integers: 1 % is 10_000 parts per million."""

import re
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import BeforeValidator

from pouch.base.money import NANOS_PER_CENT, Money

MILLION = 1_000_000
_PERCENT = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,4}))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Percent:
    """A share, from 0 to 100 %, in parts per million."""

    ppm: int

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read "4.4" or "20". Raises ValueError for all but plain decimals from 0 to 100 with up to four places."""
        parts = _PERCENT.fullmatch(text) if isinstance(text, str) else None
        if parts is None:
            raise ValueError(f"{str(text)[:40]!r} is not a percentage such as 4.4")
        whole, part = parts.groups(default="")
        ppm = int(whole) * 10_000 + int(part.ljust(4, "0"))
        if ppm > MILLION:
            raise ValueError(f"{text} is more than 100 percent")
        return cls(ppm)

    def of(self, amount: Money) -> Money:
        """This share of an amount, rounded up to the whole cent."""
        return Money(-(-amount.nanos * self.ppm // (MILLION * NANOS_PER_CENT)) * NANOS_PER_CENT)

    def of_half_up(self, amount: Money) -> Money:
        """This share of an amount of at least zero, rounded to the nearest cent, half a cent up: as taxes are."""
        step = MILLION * NANOS_PER_CENT
        return Money((amount.nanos * self.ppm + step // 2) // step * NANOS_PER_CENT)

    def __bool__(self) -> bool:
        return self.ppm != 0

    def __str__(self) -> str:
        """As people write it: "4.4 %"."""
        whole, part = divmod(self.ppm, 10_000)
        return f"{whole}{f'.{part:04d}'.rstrip('0').rstrip('.')} %"


def _read(value: object) -> Percent:
    if isinstance(value, Percent):
        return value
    if not isinstance(value, str):
        raise ValueError('a percentage is written as text, such as "4.4"')  # noqa: TRY004 -- pydantic reports ValueError
    return Percent.parse(value)


PercentText = Annotated[Percent, BeforeValidator(_read)]
"""A pydantic field that takes exact decimal text only."""
