"""When a balance has fallen below its threshold: one wish, at the right moments, and calls that wait for its answer."""

import asyncio
from uuid import UUID

import pytest

from pouch.base.database import Connection, Database
from pouch.base.money import Money
from pouch.ledger import thresholds
from pouch.ledger.accounts import open_receivable
from pouch.ledger.operations import Admitted, Capture, Expire, Receivable, Refused, Transfer
from pouch.ledger.posting import post, post_batch
from pouch.ledger.writer import running_writer
from support.ledger import account_with, hold_of, nanos

pytestmark = pytest.mark.anyio

TEN = Money.parse("10")


async def open_crossings(db: Connection, organization_id: UUID) -> list[str]:
    rows = await db.execute(
        "SELECT cause FROM ledger_crossings WHERE organization_id = %s AND closed_at IS NULL", (organization_id,)
    )
    return [cause for (cause,) in await rows.fetchall()]


async def spend(db: Connection, organization_id: UUID, usd: str) -> None:
    hold = hold_of(organization_id, usd)
    await post(db, [hold, Capture(hold, nanos(usd))])


@pytest.mark.parametrize(("usd", "crossed"), [("4.999999999", []), ("5", []), ("5.000000001", ["capture"])])
async def test_a_capture_below_the_threshold_crosses_it_to_the_nano(
    db: Connection, usd: str, crossed: list[str]
) -> None:
    alice = await account_with(db, "15")
    assert not await thresholds.arm(db, alice, TEN)
    await spend(db, alice, usd)
    assert await open_crossings(db, alice) == crossed


async def test_open_holds_do_not_count(db: Connection) -> None:
    alice = await account_with(db, "15")
    await thresholds.arm(db, alice, TEN)
    await post(db, [hold_of(alice, "14")])
    assert await open_crossings(db, alice) == []


async def test_there_is_one_open_crossing_however_often_it_falls(db: Connection) -> None:
    alice = await account_with(db, "15")
    await thresholds.arm(db, alice, TEN)
    for _ in range(3):
        await spend(db, alice, "2.5")
    assert await open_crossings(db, alice) == ["capture"]
    await thresholds.close_crossing(db, alice)
    await spend(db, alice, "1")
    assert await open_crossings(db, alice) == ["capture"]


async def test_what_is_pending_counts_as_if_it_were_there(db: Connection) -> None:
    alice = await account_with(db, "15")
    await thresholds.arm(db, alice, TEN)
    await thresholds.set_pending(db, alice, Money.parse("20"))
    await spend(db, alice, "14")
    assert await open_crossings(db, alice) == []
    await thresholds.set_pending(db, alice, Money.parse("8"))
    await spend(db, alice, "0.5")
    assert await open_crossings(db, alice) == ["capture"]


async def test_switching_on_judges_at_once(db: Connection) -> None:
    alice = await account_with(db, "5")
    assert await thresholds.arm(db, alice, TEN)
    assert await open_crossings(db, alice) == ["switched_on"]


async def test_a_call_refused_for_credits_crosses_and_says_what_comes(db: Connection) -> None:
    alice = await account_with(db, "5")
    await thresholds.watch(db, alice, TEN)
    (refused,) = await post_batch(db, [hold_of(alice, "6")])
    assert isinstance(refused, Refused)
    assert (refused.top_up, refused.may_wait, refused.awaits_top_up) == ("pending", True, True)
    assert await open_crossings(db, alice) == ["refusal"]


async def test_refunds_disputes_expiries_and_other_transfers_never_cross(db: Connection) -> None:
    alice = await account_with(db, "15")
    await open_receivable(db, alice)
    await thresholds.arm(db, alice, TEN)
    expired = hold_of(alice, "3")
    await post(db, [expired, Expire(expired)])
    await post(db, [Transfer(f"refund:{alice}", alice, "refund_clearing", nanos("6"), "refund")])
    await post(db, [Transfer(f"dispute:{alice}", Receivable(alice), "stripe_clearing", nanos("6"), "dispute")])
    assert await open_crossings(db, alice) == []


@pytest.mark.parametrize(
    ("state", "said", "crosses"), [("armed", "pending", 1), ("resting", "paused", 1), ("paused", "paused", 0)]
)
async def test_only_an_armed_threshold_is_worth_waiting_for(
    db: Connection, state: str, said: str, crosses: int
) -> None:
    alice = await account_with(db, "5")
    await thresholds.watch(db, alice, TEN)
    await db.execute("UPDATE ledger_thresholds SET state = %s WHERE organization_id = %s", (state, alice))
    (refused,) = await post_batch(db, [hold_of(alice, "6")])
    assert isinstance(refused, Refused)
    assert (refused.top_up, refused.awaits_top_up) == (said, said == "pending")
    assert len(await open_crossings(db, alice)) == crosses


async def test_nobody_else_is_watched(db: Connection) -> None:
    alice, carol = await account_with(db, "15"), await account_with(db, "15")
    await thresholds.arm(db, alice, TEN)
    await spend(db, carol, "14")
    assert await open_crossings(db, carol) == []
    (refused,) = await post_batch(db, [hold_of(carol, "6")])
    assert isinstance(refused, Refused)
    assert (refused.top_up, refused.may_wait) == ("off", False)


async def test_disarmed_nothing_is_crossed(db: Connection) -> None:
    alice = await account_with(db, "5")
    await thresholds.arm(db, alice, TEN)
    await thresholds.disarm(db, alice)
    await spend(db, alice, "1")
    assert await open_crossings(db, alice) == []


async def test_a_call_waits_for_the_top_up_in_the_order_of_its_arrival(database_url: str) -> None:
    """Three calls lack credits, an auto top-up is under way; it is credited by another process, and all go on."""
    async with Database(database_url) as database, running_writer(database_url) as writer:
        async with database.transaction() as db:
            alice = await account_with(db, "1")
            await thresholds.arm(db, alice, TEN)
        holds = [hold_of(alice, "5") for _ in range(3)]
        answers: list[int] = []

        async def ask(number: int) -> None:
            assert isinstance(await writer.hold(holds[number]), Admitted)
            answers.append(number)

        async with asyncio.TaskGroup() as tasks:
            for number in range(3):
                tasks.create_task(ask(number))
            while writer.in_line < 3:
                await asyncio.sleep(0.01)
            async with database.transaction() as db:
                await post(db, [Transfer(f"pi:{alice}", "stripe_clearing", alice, nanos("20"), "purchase")])
        assert answers == [0, 1, 2]


async def test_a_call_stops_waiting_when_the_top_up_was_declined(database_url: str) -> None:
    async with Database(database_url) as database, running_writer(database_url) as writer:
        async with database.transaction() as db:
            alice = await account_with(db, "1")
            await thresholds.arm(db, alice, TEN)
        asking = asyncio.create_task(writer.hold(hold_of(alice, "5")))
        while writer.in_line < 1:
            await asyncio.sleep(0.01)
        async with database.transaction() as db:
            await thresholds.set_state(db, alice, "paused")
        refused = await asking
        assert isinstance(refused, Refused)
        assert refused.top_up == "paused"


async def test_a_call_waits_no_longer_than_ten_seconds(database_url: str) -> None:
    async with Database(database_url) as database, running_writer(database_url) as writer:
        async with database.transaction() as db:
            alice = await account_with(db, "1")
            await thresholds.arm(db, alice, TEN)
        begun = asyncio.get_running_loop().time()
        refused = await writer.hold(hold_of(alice, "5"))
        assert isinstance(refused, Refused)
        assert refused.awaits_top_up
        assert 9 < asyncio.get_running_loop().time() - begun < 15
