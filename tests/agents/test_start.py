"""Starting: the same intention is one run, and what could never run does not start."""

import asyncio

import pytest

from agents.house import House
from pouch.agents.errors import NotEnoughCredits, StartedDifferently
from pouch.agents.start import Asked, Starter, start_run
from pouch.agents.store import count_runs
from pouch.base.errors import InvalidInput
from pouch.base.money import Money

pytestmark = pytest.mark.anyio


async def test_the_same_key_starts_one_run(house: House) -> None:
    first, again = [await house.start(key="same") for _ in range(2)]
    assert first.id == again.id
    async with house.database.transaction() as db:
        assert await count_runs(db, house.alice.organization_id) == 1


async def test_the_same_key_at_the_same_moment_starts_one_run(house: House) -> None:
    started = await asyncio.gather(*(house.start(key="same") for _ in range(8)))
    assert len({run.id for run in started}) == 1


async def test_the_same_key_for_another_run_is_refused(house: House) -> None:
    await house.start(key="same")
    with pytest.raises(StartedDifferently):
        await house.start(key="same", task="Another task")


async def test_runs_are_numbered_one_after_the_other(house: House) -> None:
    started = await asyncio.gather(*(house.start() for _ in range(5)))
    assert sorted(run.number for run in started) == [1, 2, 3, 4, 5]


async def test_a_run_that_could_not_pay_its_first_minute_and_call_does_not_start(house: House) -> None:
    funds = await house.funds()
    async with house.database.transaction() as db:
        await db.execute(
            "UPDATE ledger_accounts SET held_nanos = balance_nanos - %s WHERE organization_id = %s",
            (Money.parse("0.08").nanos, house.alice.organization_id),
        )
    with pytest.raises(NotEnoughCredits) as refused:
        await house.start()
    assert refused.value.available == Money.parse("0.08") < funds.available
    async with house.database.transaction() as db:
        assert await count_runs(db, house.alice.organization_id) == 0


@pytest.mark.parametrize("key", ["", "x" * 201, "a\nb"])
async def test_a_key_that_cannot_be_one_is_refused(house: House, key: str) -> None:
    asked = Asked("coder", "Mend it", "https://git.example.com/a.git", "", Money.parse("1"), 600)
    async with house.database.transaction() as db:
        starter = Starter(house.alice.organization_id, house.alice.id, "api", key)
        with pytest.raises(InvalidInput):
            await start_run(db, starter, asked, house.model)


async def test_the_price_at_the_start_bills_the_run(house: House) -> None:
    """It doubles while the run is under way."""
    run, claim = await house.running()
    async with house.database.transaction() as db:
        await db.execute(
            "INSERT INTO catalog_agent_prices (id, effective_at, nanos_per_hour) "
            "VALUES (gen_random_uuid(), clock_timestamp(), 10000000000)"
        )
    await house.pass_time(run, 36)
    await house.beat(claim)
    await house.pass_time(run, 0)
    assert (await house.run(run)).price_per_hour == Money.parse("5")
    assert (await house.start()).price_per_hour == Money.parse("10")
