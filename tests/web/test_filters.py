from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.base.money import Money
from pouch.web.filters import aligned, dollars, exact, icon, when

CENT = 10_000_000


@pytest.mark.parametrize(
    ("nanos", "shown"),
    [
        (0, "$0.00"),
        (1, "<$0.01"),
        (CENT - 1, "<$0.01"),
        (CENT, "$0.01"),
        (2 * CENT - 1, "$0.01"),
        (8_119_999_999, "$8.11"),
        (1_234_567_890_000_000, "$1,234,567.89"),
        (-500_000_000, "−$0.50"),  # noqa: RUF001 -- the true minus sign is meant
        (-1, "−<$0.01"),  # noqa: RUF001 -- the true minus sign is meant
    ],
)
def test_a_balance_is_floored_to_the_cent_and_a_sliver_is_not_nothing(nanos: int, shown: str) -> None:
    assert dollars(Money(nanos)) == shown


@pytest.mark.parametrize(
    ("nanos", "shown"),
    [
        (0, "$0.00"),
        (22_000, "$0.000022"),
        (-111_175_000, "−$0.111175"),  # noqa: RUF001 -- the true minus sign is meant
        (1_200_000_000, "$1.20"),
        (1_234_500_000_000, "$1,234.50"),
        (1_234, "$0.000001"),
        (1_500, "$0.000002"),
        (499, "<$0.000001"),
        (-1, "−<$0.000001"),  # noqa: RUF001 -- the true minus sign is meant
        (999_999_500, "$1.00"),
    ],
)
def test_a_charge_has_two_to_six_decimals(nanos: int, shown: str) -> None:
    assert exact(Money(nanos)) == shown


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_a_balance_never_looks_larger_than_it_is(nanos: int) -> None:
    text = dollars(Money(nanos))
    if text != "<$0.01":
        shown = Money.parse(text.removeprefix("$").replace(",", ""))
        assert shown.nanos <= nanos < shown.nanos + CENT


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_aligned_texts_end_the_same_number_of_places_after_the_point(nanos: int) -> None:
    bare = str(aligned(Money(nanos))).replace('<span class="money__pad" aria-hidden="true">', "").replace("</span>", "")
    assert len(bare.partition(".")[2]) == 6


def test_aligned_escapes_the_sign_of_a_sliver() -> None:
    assert str(aligned(Money(1))) == "&lt;$0.000001"


def test_times_are_utc_whatever_their_zone() -> None:
    assert when(datetime(2026, 11, 24, 14, 5, tzinfo=UTC)) == "24 Nov 2026, 14:05"
    assert when(datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))) == "31 Dec 2025, 23:30"


def test_icons_are_hidden_from_readers() -> None:
    assert 'aria-hidden="true"' in icon("zap")
    assert "<script" not in icon("zap")
