from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.base.database import Connection
from pouch.base.money import ZERO, Money
from pouch.billing.forecast import DAYS_MAX, Cap, forecast
from pouch.ledger.operations import Capture
from pouch.ledger.posting import post
from pouch.ledger.spending import Pace, Paces
from support.ledger import account_with, hold_of

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def usd(text: str) -> Money:
    return Money.parse(text)


def test_half_a_days_spending_is_stretched_to_a_day_and_a_weeks_to_seven() -> None:
    """$2 since midnight at noon are $4 a day; $7 in a week are $1 a day."""
    found = forecast(usd("10"), Pace(usd("2"), usd("7"), NOON - timedelta(days=7)), NOON)
    assert found.today is not None
    assert found.week is not None
    assert (found.today.per_day, found.today.days_left) == (usd("4"), 2)
    assert found.today.runs_out_at == NOON + timedelta(days=2.5)
    assert (found.week.per_day, found.week.days_left, found.days_left) == (usd("1"), 10, 10)


def test_without_spending_nobody_can_say() -> None:
    found = forecast(usd("10"), Pace(ZERO, ZERO, None), NOON)
    assert (found.today, found.week, found.days_left) == (None, None, None)


def test_the_first_minutes_of_a_day_and_of_an_account_are_not_taken_for_the_whole() -> None:
    """A dollar in the first minute is a dollar an hour at most; an account of today is a day old at least."""
    early = NOON.replace(hour=0, minute=1)
    found = forecast(usd("10"), Pace(usd("1"), usd("1"), early), early)
    assert found.today is not None
    assert found.week is not None
    assert (found.today.per_day, found.week.per_day) == (usd("24"), usd("1"))


def test_what_lasts_beyond_belief_has_no_date() -> None:
    found = forecast(usd("1000000"), Pace(ZERO, Money(7), NOON - timedelta(days=7)), NOON)
    assert found.week is not None
    assert (found.week.days_left, found.week.runs_out_at) == (None, None)


def test_a_cap_is_hit_when_the_threshold_is_reached_and_all_it_allows_is_spent() -> None:
    """$10 available, threshold $5, $15 may still be bought, $10 a day: two days. At $1 a day the month ends before."""
    pace = Pace(usd("5"), usd("7"), NOON - timedelta(days=7))
    found = forecast(usd("10"), pace, NOON, Cap(left=usd("15"), threshold=usd("5")))
    assert found.today is not None
    assert found.week is not None
    assert found.today.cap_hit_at == NOON + timedelta(days=2)
    assert found.week.cap_hit_at is None


@given(
    available=st.integers(-(10**12), 10**15),
    today=st.integers(0, 10**13),
    week=st.integers(0, 10**13),
    hour=st.integers(0, 23),
    age_h=st.integers(0, 168),
)
def test_any_figures_give_a_number_of_days_that_the_pace_does_not_outrun(
    available: int, today: int, week: int, hour: int, age_h: int
) -> None:
    now = NOON.replace(hour=hour)
    found = forecast(Money(available), Pace(Money(today), Money(week), now - timedelta(hours=age_h)), now)
    for outlook in (found.today, found.week):
        if outlook is not None and outlook.days_left is not None:
            assert 0 <= outlook.days_left <= DAYS_MAX
            assert outlook.days_left * outlook.per_day.nanos <= max(available, 0)
            assert outlook.runs_out_at is not None
            assert outlook.runs_out_at >= now


async def test_the_pace_counts_what_was_charged_and_only_new_lines_are_read(db: Connection) -> None:
    alice = await account_with(db, "100")
    paces = Paces()
    now = datetime.now(UTC)
    assert await paces.of(db, alice, now=now) == Pace(ZERO, ZERO, None)
    for cost in ("2", "3"):
        hold = hold_of(alice, "5")
        await post(db, [hold])
        await post(db, [Capture(hold, Money.parse(cost).nanos)])
        pace = await paces.of(db, alice, now=datetime.now(UTC))
    assert (pace.today, pace.week) == (usd("5"), usd("5"))
    assert await Paces().of(db, alice, now=datetime.now(UTC)) == pace
    tomorrow = await paces.of(db, alice, now=now + timedelta(days=1, minutes=5))
    assert (tomorrow.today, tomorrow.week) == (ZERO, usd("5"))
    later = await paces.of(db, alice, now=now + timedelta(days=9))
    assert (later.week, later.since) == (ZERO, None)
