from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from pouch.base.database import Connection, Database
from pouch.base.ids import new_id
from pouch.base.money import ZERO, Money
from pouch.catalog.types import Counts
from pouch.usage.days import (
    Usage,
    days_of_models,
    spent_by_key,
    spent_with,
    sum_up,
    usage_since,
)
from pouch.usage.types import EVERY_CALL, Filter
from usage.calls import NOW, a_call, write

pytestmark = pytest.mark.anyio

TODAY = NOW.date()


async def _used(db: Connection, organization_id: UUID, *, days: int = 30, wanted: Filter = EVERY_CALL) -> Usage:
    since = TODAY - timedelta(days=days - 1)
    return await usage_since(db, organization_id, since=since, now=NOW, wanted=wanted)


async def _rolled(db: Connection, organization_id: UUID) -> list[tuple[date, int]]:
    rows = await db.execute(
        "SELECT day, sum(calls)::int FROM usage_days WHERE organization_id = %s GROUP BY day ORDER BY day",
        (organization_id,),
    )
    return await rows.fetchall()


async def test_old_days_and_today_are_one_sum(db: Connection) -> None:
    """What was summed up once and what is summed now meet without a gap and without a double."""
    alice = new_id()
    for days in range(5):
        await write(db, a_call(alice, cost="0.10", ended=NOW - timedelta(days=days)))
    for _ in range(2):
        used = await _used(db, alice)
        assert (used.total.calls, used.total.charged) == (5, Money.parse("0.50"))
        assert {day for day, _ in used.buckets} == {TODAY - timedelta(days=days) for days in range(5)}
    assert [calls for _, calls in await _rolled(db, alice)] == [1, 1, 1, 1]


async def test_a_day_is_summed_up_only_when_it_is_over_for_two_hours(db: Connection) -> None:
    alice = new_id()
    midnight = datetime(2026, 11, 24, tzinfo=UTC)
    await write(db, a_call(alice, cost="0.10", ended=midnight - timedelta(seconds=1)))
    assert await sum_up(db, alice, now=midnight + timedelta(hours=1, minutes=59)) == midnight - timedelta(days=1)
    assert await _rolled(db, alice) == []
    # A call that ended before midnight and was written after it is still counted.
    await write(db, a_call(alice, cost="0.20", ended=midnight - timedelta(seconds=2)))
    assert await sum_up(db, alice, now=midnight + timedelta(hours=2)) == midnight
    assert await _rolled(db, alice) == [(date(2026, 11, 23), 2)]


async def test_a_call_counts_on_the_day_on_which_it_ended(db: Connection) -> None:
    alice = new_id()
    midnight = datetime(2026, 11, 20, tzinfo=UTC)
    await write(db, a_call(alice, cost="0.10", ended=midnight, lasted=timedelta(hours=3)))
    assert {day for day, _ in (await _used(db, alice)).buckets} == {date(2026, 11, 20)}


async def test_models_and_keys_are_the_dearest_first(db: Connection) -> None:
    alice, laptop, ci = new_id(), new_id(), new_id()
    await write(
        db,
        a_call(alice, cost="0.10", model="a/cheap", key_id=laptop, counts=Counts(input=7, cache_read=3, output=1)),
        a_call(alice, cost="0.90", model="b/dear", key_id=ci),
        a_call(alice, model="c/free", key_id=laptop, ended=NOW - timedelta(days=9)),
    )
    used = await _used(db, alice)
    assert list(used.models) == ["b/dear", "a/cheap", "c/free"]
    assert list(used.keys) == [ci, laptop]
    assert used.models["c/free"].charged == ZERO
    cheap = used.models["a/cheap"]
    assert (cheap.tokens_input, cheap.tokens_cached, cheap.tokens_output) == (10, 3, 1)


async def test_a_filter_by_model_and_key_holds_for_old_and_new_days(db: Connection) -> None:
    alice, laptop, ci = new_id(), new_id(), new_id()
    for days in (0, 9):
        for key_id in (laptop, ci):
            for model in ("one", "two"):
                await write(db, a_call(alice, cost="1", model=model, key_id=key_id, ended=NOW - timedelta(days=days)))
    assert (await _used(db, alice, wanted=Filter("one"))).total.calls == 4
    assert (await _used(db, alice, wanted=Filter("one", laptop))).total.calls == 2
    assert (await _used(db, alice, days=7, wanted=Filter("one", laptop))).total.calls == 1
    assert (await _used(db, alice, wanted=Filter("three"))).total.calls == 0


async def test_weeks_begin_on_monday(db: Connection) -> None:
    alice = new_id()
    for days in range(8):
        await write(db, a_call(alice, cost="1", ended=NOW - timedelta(days=days)))
    used = await usage_since(db, alice, since=TODAY - timedelta(days=89), now=NOW, wanted=EVERY_CALL, bucket="week")
    assert {day: each.calls for (day, _), each in used.buckets.items()} == {
        date(2026, 11, 23): 2,
        date(2026, 11, 16): 6,
    }


async def test_a_key_knows_its_day_week_month_and_all(db: Connection) -> None:
    alice, laptop = new_id(), new_id()
    for days in (0, 1, 3, 23, 40, 400):
        await write(db, a_call(alice, cost="1", key_id=laptop, ended=NOW - timedelta(days=days)))
    await write(db, a_call(alice, cost="5"))
    spent = await spent_with(db, alice, laptop, now=NOW)
    # The 24th is a Tuesday: the 23rd is in its week, the 21st is not, the 1st is in its month.
    assert [each.nanos // 10**9 for each in (spent.day, spent.week, spent.month, spent.ever)] == [1, 2, 4, 6]
    assert (await spent_by_key(db, alice, now=NOW))[laptop] == spent.ever


async def test_activity_is_of_whole_days_by_model(db: Connection) -> None:
    alice = new_id()
    await write(
        db,
        a_call(alice, cost="1", model="one"),
        a_call(alice, cost="1", model="one", ended=NOW - timedelta(days=1)),
        a_call(alice, cost="2", model="two", ended=NOW - timedelta(days=2)),
    )
    days = await days_of_models(db, alice, since=TODAY - timedelta(days=30), end=TODAY, now=NOW)
    assert [(each.day.day, each.model_id, each.figures.charged.nanos) for each in days] == [
        (23, "one", 10**9),
        (22, "two", 2 * 10**9),
    ]


async def test_carol_sees_nothing_of_alice(db: Connection) -> None:
    alice, carol = new_id(), new_id()
    await write(db, a_call(alice, cost="1"), a_call(alice, cost="1", ended=NOW - timedelta(days=4)))
    assert (await _used(db, carol)).total.calls == 0
    assert await spent_by_key(db, carol, now=NOW) == {}


async def test_two_pages_at_once_sum_up_once(new_database: Callable[[], str]) -> None:
    """Both come first on a new day; the second waits for the first and finds it done."""
    alice = new_id()
    async with Database(new_database()) as database:
        async with database.transaction() as db:
            await write(db, a_call(alice, cost="1", ended=NOW - timedelta(days=3)))
        async with database.transaction() as first:
            await sum_up(first, alice, now=NOW)
            async with database.transaction() as second:
                # Not waited for: what the first has not committed is not there, and the second's own would collide.
                await second.execute("SET LOCAL lock_timeout = '50ms'")
                with pytest.raises(Exception, match="lock timeout"):
                    await sum_up(second, alice, now=NOW)
        async with database.transaction() as db:
            assert (await _used(db, alice)).total.calls == 1
            assert [calls for _, calls in await _rolled(db, alice)] == [1]
