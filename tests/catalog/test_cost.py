from datetime import UTC, datetime
from fractions import Fraction
from math import ceil
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.catalog.cost import cost_nanos, worst_case_nanos
from pouch.catalog.counts import counts_from_openai
from pouch.catalog.errors import UnpricedUsage
from pouch.catalog.types import INPUT_CLASSES, OUTPUT_CLASSES, PRICE_CLASSES, Counts, Price, Tier
from pouch.settings import PriceClass

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DOLLAR = 1_000_000_000


def price(classes: dict[PriceClass, int], *tiers: Tier) -> Price:
    return Price(UUID(int=1), classes, NOW, tiers)


PAID = price({"input": 1 * DOLLAR, "output": 2 * DOLLAR})


def test_a_call_of_the_paid_test_model_costs_what_one_computes_by_hand() -> None:
    """12 words in at $1 and 9 words out at $2 per million: 30 millionths of a dollar."""
    assert cost_nanos(PAID, Counts(input=12, output=9)) == 30_000


def test_a_free_model_costs_nothing() -> None:
    assert cost_nanos(None, Counts(input=10**9, output=10**9)) == 0
    assert worst_case_nanos(None, input_tokens_max=10**9, output_tokens_max=10**9) == 0


def test_rounding_happens_once_and_upward() -> None:
    """Three classes that each come to a third of a nano make one nano together, not three."""
    thirds = price({"input": 333_333, "output": 333_333, "cache_read": 333_333})
    assert cost_nanos(thirds, Counts(input=1, output=1, cache_read=1)) == 1
    assert cost_nanos(thirds, Counts(input=2, output=1, cache_read=1)) == 2
    assert cost_nanos(thirds, Counts()) == 0


def test_what_has_no_price_of_its_own_is_billed_like_what_it_is_part_of() -> None:
    """Upstreams cache and reason unasked: neither may come out free."""
    assert cost_nanos(PAID, Counts(cache_read=1000)) == cost_nanos(PAID, Counts(input=1000))
    assert cost_nanos(PAID, Counts(cache_write_5m=1000)) == cost_nanos(PAID, Counts(input=1000))
    assert cost_nanos(PAID, Counts(reasoning=1000)) == cost_nanos(PAID, Counts(output=1000))
    with_writes = price({"input": 4, "output": 4, "cache_write_5m": 5_000_000})
    assert cost_nanos(with_writes, Counts(cache_write_1h=1)) == 5


@pytest.mark.parametrize("counts", [Counts(image=1), Counts(search=1), Counts(audio_minute=1)])
def test_a_piece_without_a_price_is_never_billed_zero(counts: Counts) -> None:
    with pytest.raises(UnpricedUsage):
        cost_nanos(PAID, counts)


def test_a_bound_for_a_piece_without_a_price_is_refused_before_the_call() -> None:
    with pytest.raises(UnpricedUsage):
        worst_case_nanos(PAID, input_tokens_max=1, output_tokens_max=1, images=1)


def test_pieces_and_the_request_fee_are_added() -> None:
    """One image at 4 cents and a fee of a tenth of a cent per request."""
    pieces = price(
        {"input": DOLLAR, "output": DOLLAR, "image": 40_000_000 * 1_000_000, "request": 1_000_000 * 1_000_000}
    )
    assert cost_nanos(pieces, Counts(input=1, image=1)) == 40_000_000 + 1_000_000 + 1_000
    assert worst_case_nanos(pieces, input_tokens_max=1, output_tokens_max=0, images=1) == 41_001_000


def test_the_whole_input_chooses_the_tier_and_the_tier_prices_every_token() -> None:
    """200,000 tokens, cached ones included, are still the low tier; one more makes all of them dear."""
    tiered = price({"input": 1_000_000, "output": 1_000_000, "cache_read": 0}, Tier(200_000, {"input": 2_000_000}))
    assert cost_nanos(tiered, Counts(input=100_000, cache_read=100_000, output=5)) == 100_005
    assert cost_nanos(tiered, Counts(input=100_000, cache_read=100_001, output=5)) == 200_005


def test_the_bound_is_the_dearest_of_the_tiers_in_reach_even_when_the_last_is_cheap() -> None:
    tiers = Tier(100, {"input": 5_000_000}), Tier(200, {"input": 1_000_000})
    tiered = price({"input": 2_000_000, "output": 1_000_000}, *tiers)
    assert worst_case_nanos(tiered, input_tokens_max=300, output_tokens_max=0) == 1_500


def test_a_tier_out_of_reach_does_not_raise_the_bound() -> None:
    tiered = price({"input": 1_000_000, "output": 1_000_000}, Tier(200_000, {"input": 2_000_000}))
    assert worst_case_nanos(tiered, input_tokens_max=200_000, output_tokens_max=0) == 200_000
    assert worst_case_nanos(tiered, input_tokens_max=200_001, output_tokens_max=0) == 400_002


def test_a_cheap_tier_does_not_lower_the_bound() -> None:
    """With a discount for long calls a somewhat shorter one costs more."""
    discounted = price({"input": 10_000_000, "output": 1_000_000}, Tier(100, {"input": 1_000_000}))
    assert cost_nanos(discounted, Counts(input=100)) == 1_000
    assert worst_case_nanos(discounted, input_tokens_max=101, output_tokens_max=0) >= 1_000


def test_negative_counts_cannot_be_made() -> None:
    """One negative class could make another's charge vanish."""
    for name in PRICE_CLASSES:
        with pytest.raises(ValueError, match="negative"):
            Counts(**{name: -1})


rates = st.integers(0, 10**14)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """Any price: sparse classes, up to three tiers that change any of them. Pieces are always priced."""
    optional: dict[PriceClass, st.SearchStrategy[int]] = {
        name: rates for name in PRICE_CLASSES if name not in {"input", "output", "image", "search", "audio_minute"}
    }
    required: dict[PriceClass, st.SearchStrategy[int]] = {name: rates for name in PRICE_CLASSES if name not in optional}
    base = draw(st.fixed_dictionaries(required, optional=optional))
    sizes = draw(st.lists(st.integers(1, 2_000), max_size=3, unique=True).map(sorted))
    any_class: dict[PriceClass, st.SearchStrategy[int]] = {name: rates for name in PRICE_CLASSES}  # noqa: C420 -- typed
    tiers = [Tier(size, draw(st.fixed_dictionaries({}, optional=any_class))) for size in sizes]
    return price(base, *tiers)


def split(data: st.DataObject, total: int, parts: int) -> list[int]:
    """Any way to share out at most `total`, often all of it."""
    cuts = sorted(data.draw(st.lists(st.integers(0, total), min_size=parts, max_size=parts)))
    return [high - low for low, high in zip([0, *cuts], cuts, strict=False)]


@given(prices(), st.data())
def test_the_bound_is_never_below_the_cost(any_price: Price, data: st.DataObject) -> None:
    """Whatever the upstream reports within the bounds, the hold covers it."""
    draw = data.draw
    input_max, output_max = draw(st.integers(0, 3_000)), draw(st.integers(0, 3_000))
    images, searches, minutes = (draw(st.integers(0, 3)) for _ in range(3))
    inputs = dict(zip(INPUT_CLASSES, split(data, input_max, len(INPUT_CLASSES)), strict=True))
    outputs = dict(zip(OUTPUT_CLASSES, split(data, output_max, len(OUTPUT_CLASSES)), strict=True))
    counts = Counts(
        **inputs,
        **outputs,
        image=draw(st.integers(0, images)),
        search=draw(st.integers(0, searches)),
        audio_minute=draw(st.integers(0, minutes)),
    )
    bound = worst_case_nanos(
        any_price,
        input_tokens_max=input_max,
        output_tokens_max=output_max,
        images=images,
        searches=searches,
        audio_minutes=minutes,
    )
    assert cost_nanos(any_price, counts) <= bound


@given(prices(), st.fixed_dictionaries({name: st.integers(0, 3_000) for name in PRICE_CLASSES}))
def test_the_cost_is_the_exact_sum_rounded_up(any_price: Price, used: dict[str, int]) -> None:
    """Worked out again with fractions, class by class, from the rule in words."""
    counts = Counts(**used)
    effective = dict(any_price.nanos_per_mtok)
    for tier in any_price.tiers:
        if counts.input + counts.cache_read + counts.cache_write_5m + counts.cache_write_1h > tier.above_tokens:
            effective = {**any_price.nanos_per_mtok, **tier.nanos_per_mtok}
    effective.setdefault("cache_read", effective["input"])
    effective.setdefault("cache_write_5m", effective["input"])
    effective.setdefault("cache_write_1h", effective["cache_write_5m"])
    effective.setdefault("reasoning", effective["output"])
    effective.setdefault("request", 0)
    exact = sum(Fraction(used[name] * effective[name], 1_000_000) for name in PRICE_CLASSES)
    assert cost_nanos(any_price, counts) == ceil(exact)


tokens = st.integers(0, 10_000_000)


@given(rates, rates, st.none() | rates, st.none() | rates, tokens, tokens, tokens, tokens, tokens)
def test_what_an_upstream_reports_is_billed_exactly(  # noqa: PLR0917 -- the parts of a bill
    inputs: int,
    outputs: int,
    cached_rate: int | None,
    reasoning_rate: int | None,
    fresh: int,
    cached: int,
    written: int,
    shown: int,
    hidden: int,
) -> None:
    """From the upstream's own words to the nano-dollar, worked out again with fractions."""
    classes: dict[PriceClass, int] = {"input": inputs, "output": outputs}
    if cached_rate is not None:
        classes["cache_read"] = cached_rate
    if reasoning_rate is not None:
        classes["reasoning"] = reasoning_rate
    usage = {
        "prompt_tokens": fresh + cached + written,
        "completion_tokens": shown + hidden,
        "total_tokens": fresh + cached + written + shown + hidden,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": hidden},
    }
    exact = Fraction(
        (fresh + written) * inputs
        + cached * (inputs if cached_rate is None else cached_rate)
        + shown * outputs
        + hidden * (outputs if reasoning_rate is None else reasoning_rate),
        1_000_000,
    )
    assert cost_nanos(price(classes), counts_from_openai(usage)) == ceil(exact)
