"""What a call costs: at most, before it runs, and in fact, from its counts."""

from collections.abc import Sequence

from pouch.catalog.errors import UnpricedUsage
from pouch.catalog.types import INPUT_CLASSES, OUTPUT_CLASSES, PRICE_CLASSES, Counts, NanosPerMillion, Price, Tier
from pouch.settings import PriceClass

MILLION = 1_000_000

# A class that is part of another is billed like it when it has no price of its own. Upstreams report cached tokens
# and reasoning without being asked, and none of them may come out free by being left out of a price list.
_BILLED_LIKE: dict[PriceClass, PriceClass] = {
    "cache_read": "input",
    "cache_write_5m": "input",
    "cache_write_1h": "cache_write_5m",
    "reasoning": "output",
}


def cost_nanos(price: Price | None, counts: Counts) -> int:
    """Work out what a finished call costs, in nano-dollars. A free model (no price) costs nothing.

    In words: take the prices of the highest tier that the whole input, cached tokens included, is above; multiply each
    class's count by its price per million; add all products up; divide the sum by 1,000,000 once; round up to one nano.
    Cache reads and writes without a price are billed as input, reasoning as output. No request fee means none.
    Raises UnpricedUsage for images, searches or audio that the price does not name.
    """
    if price is None:
        return 0
    rates = rates_at(price.nanos_per_mtok, price.tiers, counts.input_total)
    millionths = 0
    for name in PRICE_CLASSES:
        if count := getattr(counts, name):
            millionths += count * rate_of(rates, name)
    return _rounded_up(millionths)


def worst_case_nanos(  # noqa: PLR0913 -- one bound for each kind of thing that is counted
    price: Price | None,
    *,
    input_tokens_max: int,
    output_tokens_max: int,
    images: int = 0,
    audio_minutes: int = 0,
    searches: int = 0,
) -> int:
    """Bound what a call can cost, in nano-dollars: never less than `cost_nanos` of any counts within the bounds.

    In words: for the price itself and for each tier that so much input could reach, charge every input token as the
    dearest input class and every output token as the dearest output class, add the pieces and one request; the
    dearest of these sums, divided once and rounded up the same way. `images` are those billed by the piece.
    Raises UnpricedUsage for images, searches or audio that the price does not name.
    """
    if price is None:
        return 0
    pieces: dict[PriceClass, int] = {"image": images, "audio_minute": audio_minutes, "search": searches, "request": 1}
    dearest = 0
    for size in (0, *(tier.above_tokens + 1 for tier in price.tiers if tier.above_tokens < input_tokens_max)):
        rates = rates_at(price.nanos_per_mtok, price.tiers, size)
        millionths = input_tokens_max * max(rate_of(rates, name) for name in INPUT_CLASSES)
        millionths += output_tokens_max * max(rate_of(rates, name) for name in OUTPUT_CLASSES)
        millionths += sum(count * rate_of(rates, name) for name, count in pieces.items() if count)
        dearest = max(dearest, millionths)
    return _rounded_up(dearest)


def rates_at(nanos_per_mtok: NanosPerMillion, tiers: Sequence[Tier], input_total: int) -> NanosPerMillion:
    """The prices per million that hold for a call with so much input."""
    for tier in reversed(tiers):
        if input_total > tier.above_tokens:
            return {**nanos_per_mtok, **tier.nanos_per_mtok}
    return nanos_per_mtok


def rate_of(rates: NanosPerMillion, name: PriceClass) -> int:
    """The price per million of a class, or of the class it is billed like. Raises UnpricedUsage when there is none."""
    rate = rates.get(name)
    if rate is not None:
        return rate
    if like := _BILLED_LIKE.get(name):
        return rate_of(rates, like)
    if name == "request":
        return 0
    raise UnpricedUsage(f"the model has no price for {name!r}")


def _rounded_up(millionths: int) -> int:
    return -(-millionths // MILLION)
