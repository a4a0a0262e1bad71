"""Why a call cost what it cost: tokens by class, times the dated price, added up, rounded once."""

from dataclasses import dataclass
from datetime import datetime

from pouch.base.languages import later
from pouch.base.money import ZERO, Money
from pouch.catalog.cost import MILLION, rate_of, rates_at
from pouch.catalog.types import UNIT_CLASSES, Price
from pouch.settings import PriceClass
from pouch.usage.types import Call

PLACES_MAX = 15
"""Decimals of a dollar that a count times a price can have: nine of the price, six of the million."""

CLASS_WORDS: dict[PriceClass, str] = {
    "input": later("Input"),
    "cache_read": later("Cache read"),
    "cache_write_5m": later("Cache write"),
    "cache_write_1h": later("Cache write, 1 hour"),
    "output": later("Output"),
    "reasoning": later("Reasoning"),
    "image": later("Images"),
    "audio_minute": later("Minutes of audio"),
    "search": later("Searches"),
    "request": later("Request"),
}
"""In the order of the receipt."""


@dataclass(frozen=True, slots=True)
class Exact:
    """An amount with all its decimals, and the zeros that put its point under those of its column."""

    text: str
    pad: str = ""


@dataclass(frozen=True, slots=True)
class ClassLine:
    """One class of what was counted. `rate` is per million tokens, or for one piece where `is_piece`."""

    words: str
    count: int
    is_piece: bool
    rate: Exact | None
    cost: Exact | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A call's receipt. `together`, `rounding` and `lowered` are there when they change something."""

    lines: tuple[ClassLine, ...]
    priced_at: datetime | None
    """Since when the price that billed the call was in force. None: the model was free."""
    above_tokens: int | None
    """The size of input above which these prices hold."""
    together: Exact | None
    rounding: Exact | None
    lowered: Money
    """What an estimate was lowered by, since it is never more than was held."""
    cost: Money
    borne: Money
    """What the operator bore, because it was more than was held."""
    charged: Money
    held: Money
    given_back: Money
    beyond: Money
    """What was taken of other available credits, because the cost was above the hold."""
    places: int = 0
    """Decimals of the longest cost."""

    def text(self, amount: Money) -> Exact:
        """An amount as it stands in the column of costs."""
        return exact(amount.nanos * MILLION, self.places)


def explain(call: Call, price: Price | None) -> Explanation:
    """Work the call's cost out again, class by class, with the price that billed it."""
    cost, charged, held = Money(call.cost_nanos), Money(call.charged_nanos), Money(call.held_nanos)
    counted: list[PriceClass] = [name for name in CLASS_WORDS if getattr(call.counts, name) and name != "request"]
    if price is None:
        lines = tuple(_line(call, name) for name in counted)
        return Explanation(lines, None, None, None, None, ZERO, cost, cost - charged, charged, held, ZERO, ZERO)

    rates = rates_at(price.nanos_per_mtok, price.tiers, call.counts.input_total)
    if rate_of(rates, "request"):
        counted.append("request")
    prices = [_rate(rate_of(rates, name), name) for name in counted]
    millionths = [getattr(call.counts, name) * rate_of(rates, name) for name in counted]
    places = max([2, *map(_places, millionths)])
    price_places = max([2, *map(_places, prices)])
    together = sum(millionths)
    rounded_up = -(-together // MILLION)
    return Explanation(
        lines=tuple(
            _line(call, name, exact(rate, price_places), exact(millionth, places))
            for name, rate, millionth in zip(counted, prices, millionths, strict=True)
        ),
        priced_at=price.effective_at,
        above_tokens=next(
            (tier.above_tokens for tier in reversed(price.tiers) if call.counts.input_total > tier.above_tokens), None
        ),
        together=exact(together, places) if together % MILLION or rounded_up != cost.nanos else None,
        rounding=exact(rounded_up * MILLION - together, places) if together % MILLION else None,
        lowered=max(ZERO, Money(rounded_up) - cost),
        cost=cost,
        borne=cost - charged,
        charged=charged,
        held=held,
        given_back=max(ZERO, held - charged),
        beyond=max(ZERO, charged - held),
        places=places,
    )


def exact(millionths: int, places: int = 0) -> Exact:
    """Write millionths of nano-dollars with all decimals, at least two, padded to so many `places`."""
    whole, part = divmod(millionths, 10**PLACES_MAX)
    decimals = f"{part:0{PLACES_MAX}d}".rstrip("0").ljust(2, "0")
    return Exact(f"${whole:,}.{decimals}", "0" * (places - len(decimals)))


def _line(call: Call, name: PriceClass, rate: Exact | None = None, cost: Exact | None = None) -> ClassLine:
    return ClassLine(CLASS_WORDS[name], getattr(call.counts, name), name in UNIT_CLASSES, rate, cost)


def _rate(nanos_per_million: int, name: PriceClass) -> int:
    """Per million tokens as the price says it; per piece for what is counted in pieces. In millionths of nanos."""
    return nanos_per_million if name in UNIT_CLASSES else nanos_per_million * MILLION


def _places(millionths: int) -> int:
    return len(exact(millionths).text.partition(".")[2])
