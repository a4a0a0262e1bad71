from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.base.ids import new_id
from pouch.base.money import ZERO, Money
from pouch.catalog.cost import cost_nanos
from pouch.catalog.types import Counts, Price, Tier
from pouch.usage.explain import exact, explain
from usage.calls import a_call

SINCE = datetime(2026, 10, 1, tzinfo=UTC)


def _price(**usd_per_million: str) -> Price:
    rates = {name: Money.parse(usd).nanos for name, usd in usd_per_million.items()}
    return Price(new_id(), rates, SINCE)  # type: ignore[arg-type]  # the names are price classes


def test_every_class_is_a_line_and_they_add_up_to_the_charge() -> None:
    """The call of the pictures: 3,117 in, 12,480 written, 88,213 read, 1,904 out cost $0.1111749, no rounding."""
    price = _price(input="3", cache_write_5m="3.75", cache_read="0.30", output="15")
    counts = Counts(input=3117, cache_write_5m=12_480, cache_read=88_213, output=1904)
    call = a_call(new_id(), cost="0.1111749", counts=counts, held="0.2461")
    receipt = explain(call, price)
    assert [(line.words, line.count, line.cost and line.cost.text) for line in receipt.lines] == [
        ("Input", 3117, "$0.009351"),
        ("Cache read", 88_213, "$0.0264639"),
        ("Cache write", 12_480, "$0.0468"),
        ("Output", 1904, "$0.02856"),
    ]
    assert receipt.priced_at == SINCE
    assert (receipt.together, receipt.rounding) == (None, None)
    assert receipt.given_back == Money.parse("0.1349251")
    assert receipt.text(receipt.charged).text == "$0.1111749"
    assert receipt.text(receipt.held).pad == "000"


def test_the_one_rounding_is_shown() -> None:
    """One token at $0.0025 per million costs a quarter of a billionth of a cent; it is rounded up to one nano."""
    price = _price(input="0.0025", output="0")
    receipt = explain(a_call(new_id(), cost="0.000000003", counts=Counts(input=1)), price)
    assert receipt.together
    assert receipt.rounding
    assert receipt.together.text == "$0.0000000025"
    assert receipt.rounding.text == "$0.0000000005"


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**11), st.integers(1, 10**11))
def test_lines_and_rounding_always_give_the_cost(tokens: int, output: int, input_rate: int, output_rate: int) -> None:
    price = Price(new_id(), {"input": input_rate, "output": output_rate}, SINCE)
    counts = Counts(input=tokens, output=output)
    cost = Money(cost_nanos(price, counts))
    receipt = explain(a_call(new_id(), cost=cost.decimal(), counts=counts), price)
    lines = sum(_millionths(line.cost.text) for line in receipt.lines if line.cost)
    rounding = _millionths(receipt.rounding.text) if receipt.rounding else 0
    assert lines + rounding == cost.nanos * 10**6
    assert receipt.lowered == ZERO


def test_prices_of_a_large_input_are_named() -> None:
    price = Price(
        new_id(), {"input": 10**9, "output": 10**9}, SINCE, (Tier(200_000, {"input": 2 * 10**9, "output": 10**9}),)
    )
    receipt = explain(a_call(new_id(), cost="0.400002", counts=Counts(input=200_001)), price)
    assert receipt.above_tokens == 200_000
    assert receipt.lines[0].rate
    assert receipt.lines[0].rate.text == "$2.00"


def test_what_was_produced_beyond_the_hold_is_on_the_operator() -> None:
    receipt = explain(
        a_call(new_id(), cost="0.60", charged="0.50", counts=Counts(output=600_000)), _price(input="1", output="1")
    )
    assert (receipt.borne, receipt.charged, receipt.given_back) == (Money.parse("0.10"), Money.parse("0.50"), ZERO)


def test_what_was_taken_beyond_the_hold_is_said() -> None:
    receipt = explain(a_call(new_id(), cost="0.60", counts=Counts(output=600_000)), _price(input="1", output="1"))
    assert (receipt.beyond, receipt.given_back) == (Money.parse("0.10"), ZERO)


def test_an_estimate_is_lowered_to_the_hold_and_says_so() -> None:
    receipt = explain(a_call(new_id(), cost="0.50", counts=Counts(output=600_000)), _price(input="1", output="1"))
    assert receipt.lowered == Money.parse("0.10")


def test_a_free_call_has_counts_and_no_prices() -> None:
    receipt = explain(a_call(new_id(), held="0"), None)
    assert [(line.words, line.rate, line.cost) for line in receipt.lines] == [
        ("Input", None, None),
        ("Output", None, None),
    ]
    assert receipt.charged == ZERO


def test_pieces_are_priced_each_and_a_request_only_when_it_costs() -> None:
    price = _price(input="1", output="1", image="10000", request="2000")
    receipt = explain(a_call(new_id(), cost="0.012", counts=Counts(image=1)), price)
    assert [(line.words, line.is_piece, line.rate and line.rate.text) for line in receipt.lines] == [
        ("Images", True, "$0.01"),
        ("Request", True, "$0.002"),
    ]


@pytest.mark.parametrize(
    ("millionths", "text"),
    [(0, "$0.00"), (1, "$0.000000000000001"), (10**15, "$1.00"), (1_234_500_000 * 10**12, "$1,234,500.00")],
)
def test_no_decimal_is_lost(millionths: int, text: str) -> None:
    assert exact(millionths).text == text


def _millionths(text: str) -> int:
    whole, _, part = text.removeprefix("$").replace(",", "").partition(".")
    return int(whole) * 10**15 + int(part.ljust(15, "0"))
