"""Any sequence of beats, pauses, kills, takeovers and late settles: no second is billed twice, and no idle one."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from agents.house import House, opened
from pouch.agents import steps, wishes
from pouch.agents.beats import beat
from pouch.agents.errors import Fenced, WrongState
from pouch.agents.types import Run
from pouch.base.database import Connection, Database
from pouch.base.money import Money
from pouch.catalog.agent_price import time_cost_nanos
from pouch.jobs.claims import Claim
from pouch.ledger.check import check
from pouch.ledger.operations import Refused

HOUR = 5_000_000_000

STEPS = st.one_of(
    st.tuples(st.just("time"), st.integers(0, 100)),
    st.tuples(
        st.sampled_from(["beat", "beat", "beat", "late", "freeze", "thaw", "stop", "rest", "resume"]), st.just(0)
    ),
    st.tuples(st.sampled_from(["kill", "take", "end", "grant", "cap"]), st.just(0)),
)


class OneConnection:
    """A pool of one connection, whose transaction is rolled back in the end."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self._db.transaction():
            yield self._db


class Story:
    """One run, what happens to it, and what it may have run at most."""

    def __init__(self, house: House, run: Run, claim: Claim) -> None:
        self.house, self.run, self.claim = house, run, claim
        self.claims = [claim]
        self.least_us = 0
        self.began = time.monotonic()

    async def do(self, name: str, seconds: int) -> None:  # noqa: C901, PLR0912 -- one case for each thing that happens
        house, before = self.house, await self.house.run(self.run)
        match name:
            case "time":
                await house.pass_time(self.run, seconds)
            case "beat":
                await self._try(lambda db: beat(db, self.claim))
            case "late":
                await self._try(lambda db: beat(db, self.claims[0]))
                await self._try(lambda db: steps.end(db, self.claims[0], "succeeded", ""), only_if=len(self.claims) > 1)
            case "freeze":
                await self._try(lambda db: steps.freeze(db, self.claim, "asked"), only_if=before.state == "running")
            case "thaw":
                await self._try(lambda db: steps.begin_to_run(db, self.claim), only_if=before.state == "paused")
            case "stop":
                await self._try(lambda db: steps.begin_to_stop(db, self.claim, ""), only_if=not before.is_over)
            case "rest":
                rests = before.state in {"stopping", "paused", "running"}
                await self._try(lambda db: steps.end(db, self.claim, "paused_no_credit", "credits"), only_if=rests)
            case "resume":
                async with house.database.transaction() as db:
                    if before.state == "paused_no_credit":
                        await wishes.resume(db, before.organization_id, before.id)
            case "kill":
                if before.is_live:
                    await house.lose_worker(before)
            case "take":
                taken = await house.take(before, worker="another")
                if taken is not None:
                    self.claim = taken.claim
                    self.claims.append(taken.claim)
                    if taken.after != "lost":
                        await self._try(lambda db: steps.begin_to_run(db, self.claim))
            case "end":
                await self._try(lambda db: steps.end(db, self.claim, "succeeded", ""), only_if=not before.is_over)
            case "grant":
                await house.grant("0.05")
            case "cap":
                await self._raise_cap()
        await self.holds(before, name)

    async def holds(self, before: Run, name: str) -> None:
        now = await self.house.run(self.run)
        charged = await self.house.charged(now)
        assert charged == time_cost_nanos(now.billed_s, HOUR), "the charges are the cost of the billed seconds"
        assert now.billed_s <= now.ran_s, "nothing is billed that did not run"
        assert now.billed_s >= before.billed_s, "nothing is taken back"
        if before.state != "running":
            assert now.ran_us == before.ran_us, f"{name} counted idle time in {before.state}"
        if now.state != "running":
            assert now.billed_s == now.ran_s, "what has left running is settled"
            assert (await self.house.funds()).held == Money(0), "and holds nothing"
        async with self.house.database.transaction() as db:
            rows = await db.execute(
                "SELECT from_s, billed_to_s FROM agent_run_slices WHERE run_id = %s AND state = 'captured' ORDER BY 1",
                (now.id,),
            )
            end = 0
            for from_s, to_s in await rows.fetchall():
                assert from_s == end, "each second lies in one charged slice"
                end = to_s
            assert end == now.billed_s
            assert await check(db) == []

    async def _raise_cap(self) -> None:
        async with self.house.database.transaction() as db:
            try:
                await wishes.change_cap(db, self.run.organization_id, self.run.id, Money.parse("9"))
            except WrongState:
                return

    async def _try(self, act: "object", *, only_if: bool = True) -> None:
        if not only_if:
            return
        try:
            async with self.house.database.transaction() as db:
                await act(db)  # type: ignore[operator]  # a lambda of this file
        except Fenced:
            return


@pytest.fixture(scope="module")
def story_url(shared_database_url: str) -> str:
    return shared_database_url


@settings(max_examples=60)
@given(told=st.lists(STEPS, max_size=25), cents=st.integers(0, 60), cap_cents=st.integers(1, 40))
def test_no_second_is_billed_twice_and_no_idle_one(
    story_url: str, told: list[tuple[str, int]], cents: int, cap_cents: int
) -> None:
    asyncio.run(_tell(story_url, told, Money.from_cents(cents), Money.from_cents(cap_cents)))


async def _tell(url: str, told: list[tuple[str, int]], credits_: Money, cap: Money) -> None:
    connection: AsyncConnection[TupleRow]
    async with (
        await AsyncConnection.connect(url, options="-c timezone=UTC") as connection,
        connection.transaction(force_rollback=True),
    ):
        database = cast("Database", OneConnection(connection))
        house = await opened(database, credits_usd=(credits_ + Money.parse("0.10")).decimal())
        taken = await house.take(await house.start(cap=cap.decimal(), minutes=30))
        assert taken is not None
        async with database.transaction() as db:
            begun = await steps.begin_to_run(db, taken.claim)
        if isinstance(begun, Refused):
            return
        story = Story(house, begun, taken.claim)
        for name, seconds in told:
            await story.do(name, seconds)
            if (await house.run(begun)).is_over:
                break
