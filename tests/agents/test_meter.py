"""Running time is set aside before it runs and charged for what ran: to the second, once, and never while idle."""

from datetime import timedelta

import pytest

from agents.house import House
from pouch.agents import steps
from pouch.agents.errors import Fenced
from pouch.base.money import Money
from pouch.catalog.agent_price import time_cost_nanos
from pouch.ledger.operations import Refused

pytestmark = pytest.mark.anyio

HOUR = 5_000_000_000
MINUTE = 83_333_334
"""Five dollars, divided by sixty and rounded up to a nano-dollar."""


def test_a_quarter_of_an_hour_costs_a_dollar_and_a_quarter() -> None:
    assert time_cost_nanos(15 * 60, HOUR) == Money.parse("1.25").nanos
    assert time_cost_nanos(0, HOUR) == 0
    assert time_cost_nanos(1, HOUR) == 1_388_889
    assert time_cost_nanos(60, HOUR) == MINUTE


async def test_a_minute_is_set_aside_before_the_first_second_runs(house: House) -> None:
    run, _ = await house.running()
    assert (await house.funds()).held == Money(MINUTE)
    assert (run.state, run.held_to_s, run.ran_us) == ("running", 60, 0)


async def test_every_whole_second_is_charged_and_the_rest_comes_back(house: House) -> None:
    run, claim = await house.running()
    await house.pass_time(run, 42.5)
    async with house.database.transaction() as db:
        await steps.end(db, claim, "succeeded", "")
    assert await house.charged(run) == time_cost_nanos(42, HOUR)
    funds = await house.funds()
    assert (funds.held, funds.posted) == (Money(0), Money.parse("10") - Money(time_cost_nanos(42, HOUR)))


async def test_the_next_minute_is_set_aside_fifteen_seconds_early(house: House) -> None:
    run, claim = await house.running()
    await house.pass_time(run, 44)
    assert (await house.beat(claim)).run.held_to_s == 60
    await house.pass_time(run, 1)
    assert (await house.beat(claim)).run.held_to_s == 120
    assert (await house.funds()).held == Money(time_cost_nanos(120, HOUR))


async def test_a_minute_that_has_run_is_charged_at_the_next_beat(house: House) -> None:
    run, claim = await house.running()
    for seconds in (50, 20):
        await house.pass_time(run, seconds)
        await house.beat(claim)
    assert await house.charged(run) == MINUTE
    assert (await house.run(run)).billed_s == 60


async def test_frozen_time_costs_nothing_and_holds_nothing(house: House) -> None:
    """Ten seconds run, an hour frozen, five seconds run: fifteen seconds."""
    run, claim = await house.running()
    await house.pass_time(run, 10)
    async with house.database.transaction() as db:
        await steps.freeze(db, claim, "asked")
    assert (await house.funds()).held == Money(0)
    await house.pass_time(run, 3600)
    await house.beat(claim)
    async with house.database.transaction() as db:
        await steps.begin_to_run(db, claim)
    await house.pass_time(run, 5)
    async with house.database.transaction() as db:
        await steps.end(db, claim, "succeeded", "")
    assert await house.charged(run) == time_cost_nanos(15, HOUR)


async def test_saving_is_not_billed(house: House) -> None:
    run, claim = await house.running()
    await house.pass_time(run, 10)
    async with house.database.transaction() as db:
        await steps.begin_to_stop(db, claim, "stopped")
    await house.pass_time(run, 20)
    await house.beat(claim)
    async with house.database.transaction() as db:
        await steps.end(db, claim, "canceled", "stopped")
    assert await house.charged(run) == time_cost_nanos(10, HOUR)


async def test_time_beyond_what_is_set_aside_is_never_charged(house: House) -> None:
    """A worker that was busy elsewhere beats late: what was not paid in advance is not paid at all."""
    run, claim = await house.running()
    await house.pass_time(run, 95)
    seen = await house.beat(claim)
    assert seen.run.ran_s == 60
    async with house.database.transaction() as db:
        await steps.end(db, claim, "succeeded", "")
    assert await house.charged(run) == MINUTE


async def test_a_run_that_cannot_pay_its_next_minute_keeps_the_one_it_has(house: House) -> None:
    run, claim = await house.running(cap="0.09")
    await house.pass_time(run, 50)
    seen = await house.beat(claim)
    assert seen.refused is not None
    assert seen.refused.source == "run_limit"
    assert seen.ahead_us == pytest.approx(10_000_000, abs=2_000_000)


async def test_a_run_does_not_begin_without_its_first_minute(house: House) -> None:
    taken = await house.take(await house.start(cap="0.08"))
    assert taken is not None
    async with house.database.transaction() as db:
        refused = await steps.begin_to_run(db, taken.claim)
    assert isinstance(refused, Refused)
    assert refused.source == "run_limit"
    assert (await house.run(taken.run)).state == "starting"


async def test_a_worker_that_vanished_costs_nothing_past_its_last_beat(house: House) -> None:
    run, claim = await house.running()
    await house.pass_time(run, 20)
    await house.beat(claim)
    await house.pass_time(run, 300)
    await house.lose_worker(run)
    taken = await house.take(run, worker="another")
    assert taken is not None
    assert (taken.after, taken.run.state) == ("lost", "stopping")
    assert await house.charged(run) == time_cost_nanos(20, HOUR)
    assert (await house.funds()).held == Money(0)


async def test_a_worker_whose_lease_is_over_writes_nothing_more(house: House) -> None:
    """Even before anybody else has taken the run."""
    run, claim = await house.running()
    await house.pass_time(run, 20)
    await house.lose_worker(run)
    with pytest.raises(Fenced):
        await house.beat(claim)
    async with house.database.transaction() as db:
        with pytest.raises(Fenced):
            await steps.end(db, claim, "succeeded", "")
    assert await house.charged(run) == 0


async def test_a_former_worker_settles_nothing_once_another_has_the_run(house: House) -> None:
    run, former = await house.running()
    await house.pass_time(run, 20)
    await house.beat(former)
    await house.lose_worker(run)
    taken = await house.take(run, worker="another")
    assert taken is not None
    async with house.database.transaction() as db:
        with pytest.raises(Fenced):
            await steps.end(db, former, "succeeded", "")
    async with house.database.transaction() as db:
        await steps.end(db, taken.claim, "interrupted", "worker_lost")
    assert await house.charged(run) == time_cost_nanos(20, HOUR)


async def test_a_run_stops_counting_at_its_time_limit(house: House) -> None:
    run, claim = await house.running(minutes=1)
    await house.pass_time(run, 59)
    assert not (await house.beat(claim)).is_time_up
    await house.pass_time(run, 30)
    assert (await house.beat(claim)).is_time_up
    assert (await house.run(run)).held_to_s == 60
    async with house.database.transaction() as db:
        await steps.end(db, claim, "timed_out", "time_limit")
    assert await house.charged(run) == MINUTE


async def test_a_charge_names_its_run_and_its_seconds(house: House) -> None:
    run, claim = await house.running()
    await house.pass_time(run, 5)
    async with house.database.transaction() as db:
        await steps.end(db, claim, "succeeded", "")
        rows = await db.execute("SELECT cause, note FROM ledger_transfers WHERE kind = 'agents'")
        assert await rows.fetchall() == [(run.id, "Run 1, seconds 0 to 5")]


async def test_free_running_time_touches_no_balance(house: House) -> None:
    async with house.database.transaction() as db:
        await db.execute(
            "INSERT INTO catalog_agent_prices (id, effective_at, nanos_per_hour) "
            "VALUES (gen_random_uuid(), clock_timestamp(), 0)"
        )
    run, claim = await house.running()
    await house.pass_time(run, 500)
    seen = await house.beat(claim)
    assert (seen.run.ran_s, seen.refused) == (500, None)
    async with house.database.transaction() as db:
        await steps.end(db, claim, "succeeded", "")
    assert await house.charged(run) == 0


async def test_the_clock_of_a_run_never_runs_backwards(house: House) -> None:
    run, claim = await house.running()
    await house.pass_time(run, 10)
    before = (await house.beat(claim)).run.ran_us
    await house.pass_time(run, -timedelta(seconds=5).total_seconds())
    assert (await house.beat(claim)).run.ran_us >= before
