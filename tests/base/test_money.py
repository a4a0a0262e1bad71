"""Money is exact or refused."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pouch.base.money import NANOS_MAX, Dollars, Money


@given(st.integers(min_value=0, max_value=NANOS_MAX))
def test_what_is_written_is_read_back(nanos: int) -> None:
    assert Money.parse(Money(nanos).decimal()) == Money(nanos)


@pytest.mark.parametrize(
    "text",
    [
        *("", " 1", "1 ", "+1", "-1", "1e3", "1,000", ".5", "5.", "0x10", "NaN", "Infinity", "1.0000000001", "1_000"),
        *("\u0661\u0662", "\uff11\uff12", "9999999999", "1\n", None, 5, 5.0),
    ],
)
def test_anything_but_a_plain_decimal_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="dollars"):
        Money.parse(text)


@given(st.one_of(st.text(), st.text("0123456789.,+-eE_ \u0661\uff11\n", max_size=24)))
def test_any_text_is_read_exactly_or_refused(text: str) -> None:
    """What is read is what the text says as a fraction, to the nano; nothing but plain digits is read."""
    try:
        amount = Money.parse(text)
    except ValueError:
        return
    assert 0 <= amount.nanos <= NANOS_MAX
    assert amount.nanos == Fraction(text) * 10**9
    assert set(text) <= set("0123456789.")


@given(st.integers(0, 10**10 - 1), st.integers(0, 10**12 - 1), st.integers(0, 12))
def test_a_plain_decimal_is_read_when_nothing_of_it_is_lost(whole: int, part: int, places: int) -> None:
    text = f"{whole}.{part:012d}"[: len(str(whole)) + 1 + places].rstrip(".")
    is_exact = places <= 9 and Fraction(text) * 10**9 <= NANOS_MAX
    try:
        assert Money.parse(text).nanos == Fraction(text) * 10**9
    except ValueError:
        assert not is_exact
    else:
        assert is_exact


def test_a_part_of_a_cent_is_never_lost_on_the_way_to_the_card() -> None:
    assert Money.parse("12.34").to_cents() == 1234
    with pytest.raises(ValueError, match="whole number of cents"):
        Money.parse("12.345").to_cents()


def test_a_negative_amount_shows_its_sign_before_the_dollar() -> None:
    assert str(-Money.parse("0.5")) == "-$0.500000000"


@pytest.mark.parametrize("value", [5, 5.0, True, None, {"nanos": -5}, ["5"]])
def test_a_file_states_amounts_as_text_only(value: object) -> None:
    with pytest.raises(ValidationError, match="written as text"):
        TypeAdapter(Dollars).validate_python(value)
