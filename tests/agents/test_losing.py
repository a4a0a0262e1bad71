"""A run whose worker is gone is settled at once, though nobody has a place free; one that rests makes room."""

import asyncio

import pytest

from agents.house import House
from agents.shop import WAITS, Shop
from pouch.agents import steps, wishes
from pouch.agents.errors import Fenced
from pouch.agents.losing import STARTS_MAX, LosingJobs
from pouch.agents.types import Run
from pouch.base.money import Money
from pouch.catalog.agent_price import time_cost_nanos

pytestmark = pytest.mark.anyio

HOUR = 5_000_000_000


async def test_a_lost_run_is_settled_at_once_though_no_worker_has_a_place(house: House) -> None:
    """Charged until it was last seen, with nothing held and no live key; what it left waits for a worker."""
    run, claim = await house.running()
    await house.pass_time(run, 20)
    await house.beat(claim)
    await house.pass_time(run, 30)
    await house.lose_worker(run)
    for _ in range(2):
        await LosingJobs(house.database).lose_all()
    lost = await house.run(run)
    assert (lost.state, lost.reason, lost.ran_s) == ("stopping", "worker_lost", 20)
    assert await house.charged(run) == time_cost_nanos(20, HOUR)
    assert (await house.funds()).held == Money(0)
    assert await _live_keys(house, run) == 0
    with pytest.raises(Fenced):
        await house.beat(claim)
    taken = await house.take(run)
    assert taken is not None
    assert (taken.after, taken.run.state) == ("lost", "stopping")
    assert await _said_lost(house, run) == 1


async def test_a_run_whose_worker_lives_is_left_alone(house: House) -> None:
    _, claim = await house.running()
    await LosingJobs(house.database).lose_all()
    assert (await house.beat(claim)).run.state == "running"


async def test_stop_works_on_a_run_whose_worker_is_silent_and_its_work_is_saved_later(shop: Shop) -> None:
    house, workshop = shop.house, shop.workshop(WAITS)
    run = await house.start(repository=shop.repository)
    working = asyncio.create_task(shop.worker(workshop).work_on(run.id))
    await shop.until_said(run, "I wait.")
    await house.lose_worker(run)
    async with house.database.transaction() as db:
        assert (await wishes.stop(db, run.organization_id, run.id)).state == "stopping"
    assert (await house.funds()).held == Money(0)
    assert await _live_keys(house, run) == 0
    await working
    await shop.worker(workshop).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.reason, done.result["files_changed"]) == ("canceled", "stopped", 1)
    assert await house.charged(run) == time_cost_nanos(done.ran_s, HOUR)


async def test_a_start_that_is_lost_and_found_by_the_clock_begins_anew_and_not_for_ever(house: House) -> None:
    run = await house.start()
    for _ in range(STARTS_MAX):
        taken = await house.take(run)
        assert taken is not None
        assert taken.after == "begin"
        await house.lose_worker(run)
        await LosingJobs(house.database).lose_all()
    done = await house.run(run)
    assert (done.state, done.reason) == ("failed", "worker_lost")
    assert await house.charged(run) == 0


async def test_a_start_that_was_to_stop_and_is_lost_does_not_begin_anew(house: House) -> None:
    run = await house.start()
    assert await house.take(run) is not None
    async with house.database.transaction() as db:
        await wishes.stop(db, run.organization_id, run.id)
    await house.lose_worker(run)
    await LosingJobs(house.database).lose_all()
    assert (await house.run(run)).state == "canceled"


async def test_what_was_lost_and_waits_to_be_saved_takes_no_place_of_its_organization(house: House) -> None:
    lost, _ = await house.running()
    await house.lose_worker(lost)
    await LosingJobs(house.database).lose_all()
    assert await house.take(await house.start(), running_max=1) is not None


async def test_a_paused_run_gives_up_its_place_when_others_wait_for_one(shop: Shop) -> None:
    """Alone it is kept frozen, so that it goes on at once; with others waiting it is saved, and goes on from there."""
    house, workshop = shop.house, shop.workshop(WAITS)
    run = await house.start(repository=shop.repository)
    working = asyncio.create_task(shop.worker(workshop).work_on(run.id))
    await shop.until_said(run, "I wait.")
    async with house.database.transaction() as db:
        await wishes.pause(db, run.organization_id, run.id)
    assert (await shop.until(run, lambda now: now.state == "paused")).is_live
    other = await house.start()
    async with house.database.transaction() as db:
        await db.execute(
            "UPDATE agent_runs SET due_at = clock_timestamp() - interval '1 minute' WHERE id = %s", (other.id,)
        )
    await working
    paused = await house.run(run)
    assert (paused.state, paused.is_live, paused.result["files_changed"]) == ("paused", False, 1)


async def test_a_lost_run_that_waits_for_its_own_machine_takes_no_place_from_those_that_rest(house: House) -> None:
    lost, claim = await house.running()
    async with house.database.transaction() as db:
        await db.execute(
            "UPDATE agent_runs SET due_at = now() - interval '1 hour', lease_until = now() - interval '1 hour' "
            "WHERE id = %s",
            (lost.id,),
        )
    async with house.database.transaction() as db:
        assert await steps.is_place_needed(db, claim)
    await LosingJobs(house.database).lose_all()
    async with house.database.transaction() as db:
        assert not await steps.is_place_needed(db, claim)


async def _live_keys(house: House, run: Run) -> int:
    async with house.database.transaction() as db:
        rows = await db.execute(
            "SELECT count(*) FROM agent_run_attempts AS a JOIN identity_keys AS k ON k.id = a.key_id "
            "WHERE a.run_id = %s AND k.revoked_at IS NULL",
            (run.id,),
        )
        ((number,),) = await rows.fetchall()
    return int(number)


async def _said_lost(house: House, run: Run) -> int:
    async with house.database.transaction() as db:
        rows = await db.execute(
            "SELECT count(*) FROM agent_run_events WHERE run_id = %s AND body->>'code' = 'worker_lost'", (run.id,)
        )
        ((number,),) = await rows.fetchall()
    return int(number)
