"""The prices of a model as pages show them: dollars per million tokens, or per piece."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pouch.base.money import Money
from pouch.catalog.types import PRICE_CLASSES, UNIT_CLASSES, Model, NanosPerMillion
from pouch.settings import PriceClass

_MILLION = 1_000_000
_PLACES_MIN = 2
_MAIN: tuple[PriceClass, ...] = ("input", "output", "cache_read", "cache_write_5m")
"""Those with a column of their own in the list."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one class costs: a million tokens, or one piece when `is_piece`."""

    name: PriceClass
    amount: Money

    @property
    def is_piece(self) -> bool:
        """Whether this is counted by the piece: images, searches, minutes, requests."""
        return self.name in UNIT_CLASSES


@dataclass(frozen=True, slots=True)
class TierRates:
    """The prices that differ for a call whose whole input is above a size."""

    above_tokens: int
    rates: Sequence[Rate]


@dataclass(frozen=True, slots=True)
class Priced:
    """A model with its prices ready to be shown. A class that is absent costs nothing or is billed like another."""

    model: Model
    rates: dict[PriceClass, Rate]
    tiers: Sequence[TierRates]

    @property
    def others(self) -> Sequence[Rate]:
        """The rates without a column of their own in the list."""
        return [rate for name, rate in self.rates.items() if name not in _MAIN]

    @property
    def features(self) -> Sequence[str]:
        """What the model can do beyond text, in the operator's words."""
        return [tag for tag in self.model.tags if tag != "free"]

    @property
    def context(self) -> str:
        """The context window in short: "200K"."""
        return size_words(self.model.context_window)

    @property
    def most(self) -> str:
        """The longest answer in short: "64K"."""
        return size_words(self.model.max_tokens)


def priced(model: Model) -> Priced:
    """A model's prices from the price in force; none for a free model."""
    price = model.price
    if price is None:
        return Priced(model, {}, ())
    tiers = [TierRates(tier.above_tokens, list(_rates(tier.nanos_per_mtok).values())) for tier in price.tiers]
    return Priced(model, _rates(price.nanos_per_mtok), tiers)


def places_of(amounts: Iterable[Money]) -> int:
    """How many decimals show every one of these amounts in full; at least two."""
    shown = (amount.decimal().rstrip("0").partition(".")[2] for amount in amounts)
    return max([_PLACES_MIN, *(len(part) for part in shown)])


def size_words(tokens: int) -> str:
    """A number of tokens in short. Vendors count in thousands or in 1,024s; whichever it is comes out even."""
    for unit in (1000, 1024):
        if tokens % unit == 0:
            thousands = tokens // unit
            return f"{thousands // unit}M" if thousands % unit == 0 else f"{thousands:,}K"
    return f"{tokens:,}" if tokens < 1000 else f"{tokens // 1000:,}K"


def _rates(nanos_per_mtok: NanosPerMillion) -> dict[PriceClass, Rate]:
    shown = {}
    for name in PRICE_CLASSES:
        if nanos := nanos_per_mtok.get(name):
            # Pieces are kept per million, like tokens, and were priced one by one: nothing is lost.
            shown[name] = Rate(name, Money(nanos // _MILLION if name in UNIT_CLASSES else nanos))
    return shown
