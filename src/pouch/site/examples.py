"""Sums that the public pages show as examples, worked out with the prices in force, so that they hold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pouch.base.money import Money
from pouch.catalog.cost import cost_nanos, rate_of, rates_at
from pouch.catalog.types import Counts, Model
from pouch.settings import Credits, PriceClass
from pouch.site.rates import places_of

# Whole thousands: then every line of the slip is exact, and their sum is the bill.
_ANSWER = Counts(input=3_000, output=2_000)
_ORDER: tuple[PriceClass, ...] = ("input", "cache_write_5m", "cache_read", "output", "request")
_CACHED: dict[PriceClass, int] = {"cache_write_5m": 4_000, "cache_read": 22_000}

_QUESTION = Counts(input=6_000, output=500)
_EDIT_CALL, _EDIT_CALLS = Counts(input=3_750, cache_read=27_500, output=750), 8

_TWENTY = Money.from_cents(20_00)


@dataclass(frozen=True, slots=True)
class Line:
    """One class of one call: `count` at `price` per million is `cost`."""

    name: PriceClass
    count: int
    price: Money
    cost: Money


@dataclass(frozen=True, slots=True)
class Slip:
    """What one answer costs, and what it leaves of a first purchase."""

    model: Model
    lines: Sequence[Line]
    cost: Money
    left: Money

    @property
    def places(self) -> int:
        """How many decimals its column needs."""
        return places_of([self.cost, *(line.cost for line in self.lines)])


@dataclass(frozen=True, slots=True)
class Work:
    """What a piece of work costs, and how often the money of a first purchase pays for it."""

    calls: int
    counts: Counts
    """Of all calls together."""
    cost: Money
    times: int


def first_purchase(credits: Credits) -> Money:  # noqa: A002 -- the section's name; nothing is printed here
    """Twenty dollars, or what the operator's limits allow that is nearest to it."""
    return max(credits.purchase_min_usd, min(_TWENTY, credits.purchase_max_usd))


def example_model(models: Sequence[Model]) -> Model | None:
    """A paid model to work examples out with: real before test, with cached prices before without."""
    paid = [model for model in models if model.price is not None]
    return min(paid, key=lambda model: (model.is_test, not _has_cache(model)), default=None)


def example_slip(model: Model, put_in: Money) -> Slip:
    """One answer of a paid model."""
    price = model.price
    assert price is not None
    counts = replace(_ANSWER, **{name: count for name, count in _CACHED.items() if name in price.nanos_per_mtok})
    rates = rates_at(price.nanos_per_mtok, price.tiers, counts.input_total)
    lines = []
    for name in _ORDER:
        count = getattr(counts, name)
        rate = rate_of(rates, name) if count else 0
        if rate:
            lines.append(Line(name, count, Money(rate), Money(-(-count * rate // 1_000_000))))
    cost = Money(cost_nanos(price, counts))
    return Slip(model, lines, cost, put_in - cost)


def example_works(model: Model, put_in: Money) -> list[Work]:
    """A question, and a longer piece of work, with a paid model."""
    works = []
    for calls, counts in ((1, _QUESTION), (_EDIT_CALLS, _EDIT_CALL)):
        cost = Money(calls * cost_nanos(model.price, counts))
        if cost:
            together = Counts(
                input=calls * counts.input, cache_read=calls * counts.cache_read, output=calls * counts.output
            )
            works.append(Work(calls, together, cost, put_in.nanos // cost.nanos))
    return works


def _has_cache(model: Model) -> bool:
    return model.price is not None and "cache_read" in model.price.nanos_per_mtok
