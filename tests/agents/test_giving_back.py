"""What an attempt's time cost comes back when the fault was ours, once and whole; nothing else does."""

import pytest

from agents.house import House
from agents.local import LocalSandbox
from agents.shop import WRITES, Shop
from pouch.agents import steps, wishes
from pouch.agents.bill import bill_of
from pouch.agents.giving_back import give_back
from pouch.agents.sandboxes.types import Notice
from pouch.agents.store import clock, lock_run
from pouch.agents.types import Run
from pouch.base.money import ZERO, Money
from pouch.catalog.agent_price import time_cost_nanos
from pouch.jobs.claims import Claim
from pouch.ledger.operations import Refused

pytestmark = pytest.mark.anyio

HOUR = 5_000_000_000
START = Money.parse("10")


async def ran(house: House, run: Run, claim: Claim, seconds: int) -> None:
    for _ in range(seconds // 10):
        await house.pass_time(run, 10)
        await house.beat(claim)


async def end(house: House, claim: Claim, *, is_our_fault: bool) -> None:
    async with house.database.transaction() as db:
        await steps.begin_to_stop(db, claim, "internal_error")
        await steps.end(db, claim, "failed", "internal_error", is_our_fault=is_our_fault)


async def test_a_fault_of_ours_gives_back_all_minutes_of_its_attempt_and_says_so(house: House) -> None:
    run, claim = await house.running()
    await ran(house, run, claim, 130)
    assert await house.charged(run) > 0
    await end(house, claim, is_our_fault=True)
    funds, done = await house.funds(), await house.run(run)
    assert (funds.posted, funds.held, done.ran_s) == (START, ZERO, 0)
    async with house.database.transaction() as db:
        bill = await bill_of(db, done, await clock(db))
    assert (bill.time, bill.time_charged) == (ZERO, ZERO)
    assert [each.returned for each in bill.slices] == [each.charged for each in bill.slices]


async def test_what_broke_off_by_itself_stays_billed(house: House) -> None:
    run, claim = await house.running()
    await ran(house, run, claim, 70)
    await end(house, claim, is_our_fault=False)
    assert (await house.funds()).posted == START - Money(time_cost_nanos(70, HOUR))


async def test_an_earlier_attempt_stays_paid_and_a_later_one_goes_on_from_there(house: House) -> None:
    """Thirty seconds, then a fault of forty, then ten: forty are paid."""
    run, claim = await house.running()
    await ran(house, run, claim, 30)
    async with house.database.transaction() as db:
        await steps.end(db, claim, "paused_no_credit", "credits")
        await wishes.resume(db, run.organization_id, run.id)
    claim = await goes_on(house, run)
    await ran(house, run, claim, 40)
    await end(house, claim, is_our_fault=True)
    assert (await house.funds()).posted == START - Money(time_cost_nanos(30, HOUR))
    async with house.database.transaction() as db:
        await wishes.say(db, run.organization_id, house.alice.id, run.id, "Go on.")
    claim = await goes_on(house, run)
    await ran(house, run, claim, 10)
    await end(house, claim, is_our_fault=False)
    assert (await house.run(run)).ran_s == 40
    assert (await house.funds()).posted == START - Money(time_cost_nanos(40, HOUR))


async def test_it_comes_back_once(house: House) -> None:
    run, claim = await house.running()
    await ran(house, run, claim, 30)
    async with house.database.transaction() as db:
        stopped = await steps.begin_to_stop(db, claim, "internal_error")
        for _ in range(2):
            await give_back(db, stopped, claim.epoch)
            found = await lock_run(db, run.id)
            assert found is not None
            await give_back(db, found[0], claim.epoch)
    assert (await house.funds()).posted == START


async def test_work_that_cannot_be_saved_costs_no_time(shop: Shop) -> None:
    run = await shop.house.start(repository=shop.repository)
    await shop.worker(shop.workshop(WRITES, saves_fail=True)).work_on(run.id)
    assert (await shop.house.run(run)).reason == "save_failed"
    assert (await shop.house.funds()).posted == START


@pytest.mark.parametrize("is_away", [True, False])
async def test_an_agent_that_gives_up_costs_no_time_if_the_gateway_was_away(shop: Shop, *, is_away: bool) -> None:
    """Only what the relay saw itself counts, and only while it lasts."""
    run = await shop.house.start(repository=shop.repository)
    workshop = shop.workshop("import time; time.sleep(1.2); raise SystemExit(3)")

    async def tell(_: object) -> None:
        sandbox: LocalSandbox = workshop.sandboxes[0]
        sandbox.notify(Notice("gateway_away", "The models cannot be reached."))
        if not is_away:
            sandbox.notify(Notice("gateway_back", "The models can be reached again."))

    workshop.on_turn = tell
    await shop.worker(workshop).work_on(run.id)
    done = await shop.house.run(run)
    assert (done.state, done.reason) == ("failed", "gateway_away" if is_away else "engine_failed")
    assert ((await shop.house.funds()).posted == START) is is_away


async def goes_on(house: House, run: Run) -> Claim:
    taken = await house.take(run)
    assert taken is not None
    async with house.database.transaction() as db:
        assert not isinstance(await steps.begin_to_run(db, taken.claim), Refused)
    return taken.claim
