"""The database stands still: short pauses are waited out, long ones are said at once, and no charge is lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kills.books import say
from kills.serving import Serve, Told, Town, serving, town
from pouch.base.money import Money
from support.upstream import Exchange, completion, usage

pytestmark = [pytest.mark.anyio]

RATE = 40
"""Calls per second, whether or not those before are answered."""
COST = Money(10 * 1000 + 5 * 2000)


@dataclass(frozen=True, slots=True)
class Timed:
    """A call, when it was begun and how long it took."""

    began_s: float
    took_s: float
    told: Told


@dataclass
class OpenLoop:
    """Calls begun at a fixed rate, and what became of them."""

    calls: list[Timed] = field(default_factory=list)

    def during(self, begin_s: float, end_s: float) -> list[Timed]:
        return [call for call in self.calls if begin_s <= call.began_s < end_s]


@asynccontextmanager
async def open_loop(here: Town, serve: Serve) -> AsyncIterator[OpenLoop]:
    """Begin calls until the end of the block, then wait for their answers."""
    loop, done = asyncio.get_running_loop(), OpenLoop()

    async def call() -> None:
        began = loop.time()
        told = await here.call(serve)
        done.calls.append(Timed(began, loop.time() - began, told))

    async def begin() -> None:
        due = loop.time()
        while True:
            group.create_task(call())
            due += 1 / RATE
            await asyncio.sleep(due - loop.time())

    async with asyncio.TaskGroup() as group:
        beginning = group.create_task(begin())
        yield done
        beginning.cancel()


async def answers(exchange: Exchange) -> None:
    await exchange.answer(completion("Here", usage(10, 5)))


async def pause(backend_pid: int, seconds: float) -> tuple[float, float]:
    """Stop the ledger's connection at the database's end: when it stopped and when it went on."""
    loop = asyncio.get_running_loop()
    stopped = loop.time()
    os.kill(backend_pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(backend_pid, signal.SIGCONT)
    return stopped, loop.time()


def tell(what: str, calls: Sequence[Timed]) -> None:
    took = sorted(call.took_s for call in calls)
    say(f"{what}: {len(took)} calls, p50 {took[len(took) // 2] * 1000:.1f} ms, worst {took[-1] * 1000:.0f} ms")


async def charged_exactly(here: Town, before: Money, told: Sequence[Told]) -> None:
    """Every full answer is charged once, every other call not at all."""
    full = {answer.generation_id for answer in told if answer.status == 200}
    assert (await here.at_rest()).posted == before - Money(COST.nanos * len(full))
    charged = {call.id for call in await here.calls() if call.charged_nanos}
    assert full <= charged
    assert {answer.generation_id for answer in told} & charged == full


async def test_a_pause_of_a_fifth_of_a_second_refuses_nobody(database_url: str, tmp_path: Path) -> None:
    async with town(database_url) as here, serving(here, tmp_path) as serve:
        here.upstream.script = answers
        before = (await here.at_rest()).posted
        async with open_loop(here, serve) as loop:
            await asyncio.sleep(0.5)
            stopped, went_on = await pause(serve.backend_pid, 0.2)
            await asyncio.sleep(0.5)
        tell("begun in the pause of 0.2 s", loop.during(stopped, went_on))
        tell("begun after it", loop.during(went_on, went_on + 9))
        assert {call.told.status for call in loop.calls} == {200}
        await charged_exactly(here, before, [call.told for call in loop.calls])


async def test_a_pause_of_three_seconds_is_said_at_once_and_loses_no_charge(database_url: str, tmp_path: Path) -> None:
    """Ten calls are at the upstream when the database stops; their answers come meanwhile and are charged after it."""
    asked, may_answer = asyncio.Semaphore(0), asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        asked.release()
        await may_answer.wait()
        await answers(exchange)

    async with town(database_url) as here, serving(here, tmp_path) as serve:
        before = (await here.at_rest()).posted
        here.upstream.script = slow
        early = [asyncio.create_task(here.call(serve)) for _ in range(10)]
        for _ in early:
            await asked.acquire()
        here.upstream.script = answers
        async with open_loop(here, serve) as loop:
            asyncio.get_running_loop().call_later(1, may_answer.set)
            stopped, went_on = await pause(serve.backend_pid, 3)
            await asyncio.sleep(1)
        told = [call.told for call in loop.calls] + await asyncio.gather(*early)
        refused = [call for call in loop.calls if call.told.status == 503]
        at_once = loop.during(stopped + 1.5, went_on - 0.2)
        after = loop.during(went_on + 0.5, went_on + 9)
        tell("refused in the pause of 3 s", refused)
        tell("of them begun in its second half", at_once)
        tell("begun half a second after it", after)

        assert {answer.status for answer in told} == {200, 503}
        assert {call.told.headers["retry-after"] for call in refused} == {"1"}
        assert {call.told.status for call in at_once} == {503}
        assert sorted(call.took_s for call in at_once)[len(at_once) // 2] < 0.25
        assert max(call.took_s for call in refused) < 3
        assert {call.told.status for call in after} == {200}
        assert {answer.status for answer in told[-10:]} == {200}
        await charged_exactly(here, before, told)
