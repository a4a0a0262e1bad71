"""The group writer: order, durability of answers, lost connections, stalls, lines."""

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest
from psycopg import AsyncConnection

from pouch.base.ids import new_id
from pouch.base.money import ZERO, Money
from pouch.catalog.types import Counts
from pouch.ledger.accounts import Balance, balance
from pouch.ledger.check import check
from pouch.ledger.errors import LedgerBusy, PostingMismatch
from pouch.ledger.limits import set_limit
from pouch.ledger.operations import Admitted, Capture, Captured, Hold, Refused, Release
from pouch.ledger.writer import Writer, running_writer
from pouch.usage.store import newest_calls, write_batch
from pouch.usage.types import Call
from support.ledger import account_with, hold_of, nanos

pytestmark = pytest.mark.anyio


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[Writer]:
    async with running_writer(database_url) as writer:
        yield writer


async def opened(url: str, usd: str) -> UUID:
    async with await AsyncConnection.connect(url) as db:
        return await account_with(db, usd)


async def has(url: str, organization: UUID) -> Balance:
    async with await AsyncConnection.connect(url) as db:
        return await balance(db, organization)


async def differences(url: str) -> list[str]:
    async with await AsyncConnection.connect(url) as db:
        return await check(db)


async def test_an_answer_is_durable_when_it_is_given(writer: Writer, database_url: str) -> None:
    alice = await opened(database_url, "5")
    hold = hold_of(alice, "2")
    assert await writer.hold(hold) == Admitted()
    assert (await has(database_url, alice)).held == Money.parse("2")
    assert await writer.capture(Capture(hold, nanos("1"))) == Captured(nanos("1"), 0)
    assert await has(database_url, alice) == Balance(Money.parse("4"), ZERO, ZERO)


async def test_two_writers_and_many_clients_never_overspend(database_url: str) -> None:
    """Poor accounts, a tight limit, replays of holds and captures, on two writers at once."""
    poor = [await opened(database_url, "0.04") for _ in range(3)]
    rich = await opened(database_url, "100")
    async with await AsyncConnection.connect(database_url) as db:
        key = new_id()
        await set_limit(db, key, kind="key", cap=Money.parse("0.03"))
    chance, seen = random.Random(5), Counter[str]()
    async with running_writer(database_url) as one, running_writer(database_url) as two:

        async def client(rounds: int) -> None:
            for _ in range(rounds):
                account = chance.choice([*poor, rich])
                hold = hold_of(account, "0.001", *((key,) if account == rich else ()))
                try:
                    answer = await chance.choice([one, two]).hold(hold)
                except LedgerBusy:  # on a slow machine; nothing was held
                    seen["LedgerBusy"] += 1
                    continue
                seen[type(answer).__name__] += 1
                if isinstance(answer, Refused):
                    continue
                if chance.random() < 0.1:
                    with contextlib.suppress(LedgerBusy):
                        assert await chance.choice([one, two]).hold(hold) == Admitted()
                cost = chance.randrange(1, nanos("0.001"))
                for _ in range(2 if chance.random() < 0.1 else 1):
                    await chance.choice([one, two]).capture(Capture(hold, cost))

        await asyncio.gather(*(client(6) for _ in range(100)))
    assert await differences(database_url) == []
    assert seen["Admitted"] > 100
    for account in [*poor, rich]:
        assert (await has(database_url, account)).held == ZERO


async def test_a_hold_waits_in_line_until_others_are_settled(writer: Writer, database_url: str) -> None:
    """Three calls of which one fits at a time: each is admitted in the order it came."""
    alice = await opened(database_url, "1")
    order: list[int] = []

    async def call(number: int) -> None:
        hold = hold_of(alice, "0.9")
        assert await writer.hold(hold) == Admitted()
        order.append(number)
        await writer.capture(Capture(hold, nanos("0.01")))

    await asyncio.gather(*(call(number) for number in range(8)))
    assert order == list(range(8))
    assert writer.in_line == 0


async def test_a_hold_that_comes_later_stands_behind_those_who_wait(writer: Writer, database_url: str) -> None:
    """A small call would fit beside the one in progress, but a bigger one was there before it."""
    alice = await opened(database_url, "1")
    blocking = hold_of(alice, "0.8")
    await writer.hold(blocking)
    order: list[str] = []

    async def call(usd: str) -> None:
        assert await writer.hold(hold_of(alice, usd)) == Admitted()
        order.append(usd)

    async with asyncio.TaskGroup() as calls, asyncio.timeout(4):
        for in_line, usd in enumerate(("0.5", "0.1"), start=1):
            calls.create_task(call(usd))
            while writer.in_line < in_line:
                await asyncio.sleep(0.01)
        await writer.release(Release(blocking))
    assert order == ["0.5", "0.1"]


async def test_a_hold_that_comes_while_the_line_is_judged_again_stands_behind_it(
    writer: Writer, database_url: str
) -> None:
    """The line is empty for as long as its holds are with the database."""
    alice = await opened(database_url, "1")
    blocking = hold_of(alice, "0.8")
    await writer.hold(blocking)
    order: list[str] = []

    async def call(usd: str) -> None:
        assert await writer.hold(hold_of(alice, usd)) == Admitted()
        order.append(usd)

    async with asyncio.TaskGroup() as calls, asyncio.timeout(4):
        calls.create_task(call("0.5"))
        for there in (True, False):
            while (writer.in_line > 0) is not there:
                await asyncio.sleep(0)
        calls.create_task(call("0.1"))
        while writer.in_line < 2:
            await asyncio.sleep(0.01)
        await writer.release(Release(blocking))
    assert order == ["0.5", "0.1"]


async def test_a_hold_that_can_never_fit_is_refused_at_once(writer: Writer, database_url: str) -> None:
    alice = await opened(database_url, "1")
    await writer.hold(hold_of(alice, "0.9"))
    refused = await writer.hold(hold_of(alice, "1.1"))
    assert refused == Refused("credits", nanos("1.1"), nanos("0.1"), nanos("1"), alice)


async def test_a_caller_who_leaves_holds_nothing(writer: Writer, database_url: str) -> None:
    """The client disconnects while its hold is being committed, and while it waits in line."""
    alice = await opened(database_url, "1")
    blocking = hold_of(alice, "0.8")
    await writer.hold(blocking)
    in_line = asyncio.create_task(writer.hold(hold_of(alice, "0.5")))
    committing = asyncio.create_task(writer.hold(hold_of(alice, "0.1")))
    await asyncio.sleep(0)
    for task in (in_line, committing):
        task.cancel()
    await asyncio.gather(in_line, committing, return_exceptions=True)
    await writer.release(Release(blocking))
    # One more round through the queue: whatever was admitted for nobody is given back before it.
    after = hold_of(alice, "1")
    assert await writer.hold(after) == Admitted()
    await writer.release(Release(after))
    assert await has(database_url, alice) == Balance(Money.parse("1"), ZERO, ZERO)


async def test_a_caller_who_leaves_during_the_commit_holds_nothing(writer: Writer, database_url: str) -> None:
    """Another process has the account locked, so the commit takes as long as we want."""
    alice = await opened(database_url, "1")
    async with await AsyncConnection.connect(database_url) as other:
        await other.execute("SELECT 1 FROM ledger_accounts WHERE organization_id = %s FOR UPDATE", (alice,))
        leaving = asyncio.create_task(writer.hold(hold_of(alice, "0.5")))
        while not writer.in_flight_age_s:
            await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await other.rollback()
    after = hold_of(alice, "1")
    assert await writer.hold(after) == Admitted()
    await writer.release(Release(after))
    assert await has(database_url, alice) == Balance(Money.parse("1"), ZERO, ZERO)


async def test_a_caller_who_leaves_between_the_answer_and_hearing_it_holds_nothing(
    writer: Writer, database_url: str
) -> None:
    """Two holds of one batch: whoever hears of the first cancels the second, which is admitted and not heard of yet."""
    alice = await opened(database_url, "1")

    async def first() -> None:
        await writer.hold(hold_of(alice, "0.25"))
        second.cancel()

    tasks = [asyncio.create_task(first()), asyncio.create_task(writer.hold(hold_of(alice, "0.5")))]
    second = tasks[1]
    await asyncio.gather(*tasks, return_exceptions=True)
    assert second.cancelled()
    await all_posted(writer, alice)
    assert (await has(database_url, alice)).held == Money.parse("0.25")


async def test_callers_who_leave_at_any_moment_hold_nothing(writer: Writer, database_url: str) -> None:
    alice = await opened(database_url, "100")
    chance = random.Random(7)

    async def leave(task: asyncio.Task[Admitted | Refused], after: int) -> None:
        for _ in range(after):
            await asyncio.sleep(0)
        task.cancel()

    for _ in range(20):
        holds = [hold_of(alice, "0.001") for _ in range(30)]
        tasks = [asyncio.create_task(writer.hold(hold)) for hold in holds]
        await asyncio.gather(*(leave(task, chance.randrange(60)) for task in tasks))
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        heard = [hold for hold, answer in zip(holds, answers, strict=True) if answer == Admitted()]
        await asyncio.gather(*(writer.release(Release(hold)) for hold in heard))
    await all_posted(writer, alice)
    assert (await has(database_url, alice)).held == ZERO


async def test_a_call_is_written_once_however_often_its_capture_is_posted(database_url: str) -> None:
    """A commit whose answer was lost is posted again: the row is there already, and so is the charge."""
    alice = await opened(database_url, "1")
    async with running_writer(database_url, write_records=write_batch) as writer:
        hold = hold_of(alice, "0.5")
        await writer.hold(hold)
        now = datetime.now(UTC)
        call = Call(
            hold.id, alice, new_id(), new_id(), "m", "u", None, Counts(), 7, 9, False, False, "done", now, now
        )  # fmt: skip
        for repeated in (False, True):
            assert await writer.capture(Capture(hold, 7, record=call)) == Captured(7, 0, repeated=repeated)
        await writer.release(Release(hold_of(alice, "1"), record=replace(call, id=new_id())))
    async with await AsyncConnection.connect(database_url) as db:
        (written,) = await newest_calls(db, alice, limit=10)
    assert (written.id, written.charged_nanos) == (hold.id, 7)


async def all_posted(writer: Writer, organization: UUID) -> None:
    """Everything that was asked before this, also what the writer asked of itself."""
    hold = hold_of(organization, "0.000000001")
    await writer.hold(hold)
    await writer.release(Release(hold))


async def test_a_batch_survives_its_connection(writer: Writer, database_url: str) -> None:
    """The backend is killed five times while operations are under way: each is posted exactly once."""
    alice = await opened(database_url, "10")
    calls, is_over = 0, asyncio.Event()

    async def killer() -> None:
        async with await AsyncConnection.connect(database_url, autocommit=True) as db, asyncio.timeout(30):
            for kills in range(1, 6):
                while writer.figures.reconnects < kills:
                    await db.execute("SELECT pg_terminate_backend(%s)", (writer.backend_pid,))
        is_over.set()

    async def caller() -> None:
        nonlocal calls
        while not is_over.is_set():
            hold = hold_of(alice, "0.001")
            await writer.hold(hold)
            assert (await writer.capture(Capture(hold, 1000))).charged_nanos == 1000
            calls += 1

    await asyncio.gather(killer(), *(caller() for _ in range(20)))
    assert (await has(database_url, alice)).posted == Money.parse("10") - Money(1000 * calls)
    assert await differences(database_url) == []


async def test_one_bad_operation_fails_alone(writer: Writer, database_url: str) -> None:
    """A hold of nothing is refused by the database; those that share its batch are posted."""
    alice = await opened(database_url, "5")
    good, bad = hold_of(alice, "1"), Hold(new_id(), alice, 0)
    holds = (good, bad, hold_of(alice, "1"))
    results = await asyncio.gather(*map(writer.hold, holds), return_exceptions=True)
    assert results[0] == results[2] == Admitted()
    assert isinstance(results[1], psycopg.errors.CheckViolation)


async def test_a_known_id_with_another_amount_is_a_mismatch(writer: Writer, database_url: str) -> None:
    alice = await opened(database_url, "5")
    hold = hold_of(alice, "1")
    await writer.hold(hold)
    with pytest.raises(PostingMismatch):
        await writer.hold(Hold(hold.id, alice, nanos("2")))


async def test_a_stalled_database_refuses_holds_quickly_and_no_capture(writer: Writer, database_url: str) -> None:
    """The writer's backend stops for a while: a new hold is told so within its patience, a capture waits."""
    alice = await opened(database_url, "5")
    hold, other = hold_of(alice, "1"), hold_of(alice, "1")
    await asyncio.gather(writer.hold(hold), writer.hold(other))
    pid = writer.backend_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        capture = asyncio.create_task(writer.capture(Capture(hold, 5)))
        with pytest.raises(LedgerBusy):
            await writer.hold(hold_of(alice, "1"))
        queued = writer.queued
        with pytest.raises(LedgerBusy):
            await writer.hold(hold_of(alice, "1"))
        assert writer.queued == queued, "the second was refused without waiting"
        late = asyncio.create_task(writer.capture(Capture(other, 6)))
        await asyncio.wait([capture, late], timeout=0.01)
        assert not capture.done()
        assert not late.done()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [await capture, await late] == [Captured(5, 0), Captured(6, 0)]
    after = hold_of(alice, "4")
    assert await writer.hold(after) == Admitted()
    await writer.release(Release(after))
    assert (await has(database_url, alice)).held == ZERO


async def test_a_capture_happens_though_nobody_waits_for_it(writer: Writer, database_url: str) -> None:
    """The caller's task is cancelled between asking and the answer: the work was done, so it is charged."""
    alice = await opened(database_url, "5")
    hold = hold_of(alice, "2")
    await writer.hold(hold)
    capture = asyncio.create_task(writer.capture(Capture(hold, nanos("1"))))
    await asyncio.sleep(0)
    capture.cancel()
    await asyncio.gather(capture, return_exceptions=True)
    await writer.hold(hold_of(alice, "1"))
    assert (await has(database_url, alice)).posted == Money.parse("4")
