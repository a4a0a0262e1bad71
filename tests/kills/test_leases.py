"""A process that is given up loses its holds, uncharged; what it still finishes takes at most what is there."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from kills.serving import Town, serving, town
from pouch.base.money import ZERO, Money
from pouch.ledger.leases import LOST_AFTER_S, ExpiredHold, sweep
from pouch.ledger.limits import limits_of, set_limit
from pouch.ledger.operations import Transfer
from pouch.ledger.posting import post
from support.upstream import Exchange, chunk, completion, usage

pytestmark = [pytest.mark.anyio]


async def declare_lost(town: Town, processes: int = 1) -> list[ExpiredHold]:
    """What another process does when it has not heard of one for thirty seconds."""
    async with town.database.transaction() as db:
        silent = await db.execute(
            "UPDATE ledger_leases SET beat_at = beat_at - make_interval(secs => %s) WHERE lost_at IS NULL",
            (LOST_AFTER_S + 1,),
        )
        assert silent.rowcount == processes
        return await sweep(db)


async def spend_all_but(town: Town, left: Money) -> None:
    """Alice's credits go elsewhere."""
    async with town.database.transaction() as db:
        gone = (await town.balance()).available - left
        organization = town.alice.organization_id
        await post(db, [Transfer("elsewhere", organization, "writeoff", gone.nanos, "adjustment")])


async def leases(town: Town) -> list[bool]:
    """Each lease ever taken, in order: whether it is lost."""
    async with town.database.transaction() as db:
        rows = await db.execute("SELECT lost_at IS NOT NULL FROM ledger_leases ORDER BY started_at")
        return [is_lost for (is_lost,) in await rows.fetchall()]


async def test_a_fenced_process_closes_its_streams_and_begins_anew(database_url: str, tmp_path: Path) -> None:
    """Its hold was given back and spent elsewhere: the stream that it closes takes the three nano-dollars left."""
    is_streaming, is_stopped = asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.event(chunk({"content": "x" * 400}))
        is_streaming.set()
        await exchange.until_gone()
        is_stopped.set()

    async with town(database_url) as here, serving(here, tmp_path) as serve:
        before = (await here.balance()).posted
        normal, here.upstream.script = here.upstream.script, script
        stream = asyncio.create_task(here.call(serve, stream=True))
        await is_streaming.wait()

        (expired,) = await declare_lost(here)
        assert (await here.at_rest()).posted == before
        await spend_all_but(here, Money(3))

        # It hears of it at its next beat.
        with pytest.raises(httpx.RemoteProtocolError):
            await stream
        await is_stopped.wait()
        while (call := (await here.calls())[0]).id != expired.id:
            await asyncio.sleep(0.02)
        assert (call.outcome, call.is_estimated, call.counts.output) == ("cut", True, 100)
        assert (call.charged_nanos, (await here.at_rest()).posted) == (3, ZERO)
        async with here.database.transaction() as db:
            found = await db.execute("SELECT state, captured_nanos, overrun_nanos FROM ledger_holds ORDER BY id DESC")
            assert await found.fetchone() == ("captured", 3, call.cost_nanos - 3)

        here.upstream.script = normal
        while await leases(here) != [True, False]:
            await asyncio.sleep(0.02)
        await here.grant("1")
        assert (await here.call(serve)).status == 200


async def test_a_frozen_process_that_wakes_up_takes_at_most_what_another_left(
    database_url: str, tmp_path: Path
) -> None:
    """What it had set aside was spent through another process meanwhile; its caller gets the answer all the same."""
    is_asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        is_asked.set()
        await may_answer.wait()
        await exchange.answer(completion("At last", usage(10, 50)))

    async def quick(exchange: Exchange) -> None:
        await exchange.answer(completion("Here", usage(10, 5)))

    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(town(database_url, credits_usd="0.0004"))
        frozen = await stack.enter_async_context(serving(here, tmp_path))
        other = await stack.enter_async_context(serving(here, tmp_path))
        here.upstream.script = slow
        late = asyncio.create_task(here.call(frozen))
        await is_asked.wait()
        here.upstream.script = quick
        frozen.freeze()
        try:
            (expired,) = await declare_lost(here, 2)
            answered = 0
            while (answer := await here.call(other, max_tokens=5)).status == 200:
                answered += 1
            assert answer.status == 402
            left = (await here.at_rest()).available
            may_answer.set()
        finally:
            frozen.thaw()
        told = await late

        assert answered > 0
        assert told.status == 200
        assert told.generation_id == expired.id
        assert ZERO < left < Money(10 * 1000 + 50 * 2000)
        assert told.cost == left
        assert (await here.at_rest()).posted == ZERO
        assert {call.charged_nanos for call in await here.calls() if call.id == expired.id} == {told.cost.nanos}


async def test_two_processes_keep_one_limit_and_one_balance(database_url: str, tmp_path: Path) -> None:
    """Sixty calls through two processes on a key that may spend what forty of them cost."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(completion("Here", usage(10, 5)))

    cost, cap = Money(10 * 1000 + 5 * 2000), Money(800_000)
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(town(database_url))
        one = await stack.enter_async_context(serving(here, tmp_path))
        two = await stack.enter_async_context(serving(here, tmp_path))
        here.upstream.script = script
        before = await here.at_rest()
        async with here.database.transaction() as db:
            await set_limit(db, here.key.id, kind="key", cap=cap)
        answers = await asyncio.gather(*(here.call(serve, max_tokens=5) for _ in range(30) for serve in (one, two)))

        full = [answer for answer in answers if answer.status == 200]
        refused = [answer for answer in answers if answer.status == 402]
        assert len(full) + len(refused) == 60
        assert {answer.cost for answer in full} == {cost}
        assert {answer.document["error"]["metadata"]["limit_source"] for answer in refused} == {"key_limit"}
        spent = Money(cost.nanos * len(full))
        assert (await here.at_rest()).posted == before.posted - spent
        async with here.database.transaction() as db:
            ((limit,),) = (await limits_of(db, [here.key.id])).values()
        assert (limit.spent, limit.held) == (spent, ZERO)
        # The worst case of a call is what must fit, and it is dearer than what the call costs.
        worst = Money.parse(refused[-1].document["error"]["metadata"]["required_usd"])
        assert cap - worst < spent <= cap
        # What the one charged, the other knows.
        for serve in (one, two):
            answer = await here.call(serve, max_tokens=5)
            assert answer.status == 402
            assert Money.parse(answer.document["error"]["metadata"]["available_usd"]) == limit.left
