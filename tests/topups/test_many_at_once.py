"""A thousand calls cross the threshold at once, several workers hear of it: one charge."""

import asyncio

import pytest

from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.ledger.operations import Admitted, Capture, Hold
from pouch.ledger.writer import Writer, running_writer
from topups.till import Till, wish

pytestmark = pytest.mark.anyio

CALLS = 1_000
CENT = Money.parse("0.01").nanos


async def _call(writer: Writer, organization_id: object) -> None:
    hold = Hold(new_id(), organization_id, CENT)  # type: ignore[arg-type]  # an id as the till keeps it
    assert isinstance(await writer.hold(hold), Admitted)
    await writer.capture(Capture(hold, CENT))


async def test_a_thousand_requests_cross_at_once_and_make_one_charge(till: Till, database_url: str) -> None:
    await till.arm(has="12", wanted=wish(threshold="10", amount="20"))
    told: list[object] = []
    async with running_writer(database_url) as writer:
        writer.on_crossed = told.extend
        await asyncio.gather(*(_call(writer, till.alice) for _ in range(CALLS)))
    assert told == [till.alice]
    assert await till.balance() == Money.parse("2")
    topups = till.pouch.topups
    assert topups.charging is not None
    await asyncio.gather(*(topups.judge.look(till.alice) for _ in range(8)))
    (attempt,) = await till.tries()
    await asyncio.gather(*(topups.charging.charge(attempt.id) for _ in range(8)))
    await till.work()
    assert await till.asked() == await till.charges() == 1
    assert await till.balance() == Money.parse("22")
    await till.audit()


async def test_crossings_go_on_being_made_after_a_top_up(till: Till, database_url: str) -> None:
    """A minute apart at least, and never two at a time."""
    await till.arm(has="12", wanted=wish(threshold="10", amount="5"))
    async with running_writer(database_url) as writer:
        for _ in range(3):
            await asyncio.gather(*(_call(writer, till.alice) for _ in range(600)))
            await till.work()
            await till.time_passes(61)
    assert await till.charges() == 3
    await till.audit()
