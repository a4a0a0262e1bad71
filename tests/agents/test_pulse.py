"""A run ends with its money and with its time, and no agent runs unwatched: real sandboxes, a clock that is moved."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agents.boxed import machine
from agents.shop import Shop
from pouch.agents.jobs import AgentJobs
from pouch.agents.types import Run, subjects_of
from pouch.base.ids import derived_id
from pouch.base.money import Money
from pouch.catalog.agent_price import time_cost_nanos
from pouch.ledger.operations import Admitted, Hold
from pouch.ledger.posting import post_batch
from support.sandboxes import needs_bubblewrap, places

pytestmark = [pytest.mark.anyio, needs_bubblewrap]

ENDLESS = "echo half done > notes.txt; echo I wait.; while true; do sleep 0.1; done"
HOUR = 5_000_000_000
ENDS_WITHIN_S = 40
"""What ends for no reason of the run's own would run until the agent's own end, an hour later."""


@pytest.fixture
def root() -> Iterator[Path]:
    with places() as folder:
        yield folder


@asynccontextmanager
async def at_work(shop: Shop, root: Path, **asked: Any) -> AsyncIterator[tuple[Run, asyncio.Task[None]]]:
    """A run whose agent works, and its worker, which is gone after the block."""
    shop.folder.chmod(0o755)
    run = await shop.house.start(repository=shop.repository, **asked)
    workshop = machine(root, shop.repository, ENDLESS)
    worker = AgentJobs(shop.house.database, workshop, gateway_url="http://127.0.0.1:9")
    working = asyncio.create_task(worker.work_on(run.id))
    try:
        await shop.until_said(run, "I wait.")
        yield run, working
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_a_run_ends_when_its_time_is_over_and_its_work_is_kept(shop: Shop, root: Path) -> None:
    house = shop.house
    async with at_work(shop, root) as (run, working):
        async with house.database.transaction() as db:
            await db.execute("UPDATE agent_runs SET time_limit_s = 90 WHERE id = %s", (run.id,))
        await house.pass_time(run, 55)
        await shop.until(run, lambda now: now.held_to_s == 90)
        await house.pass_time(run, 60)
        async with asyncio.timeout(ENDS_WITHIN_S):
            await working
    done = await house.run(run)
    assert (done.state, done.reason, done.ran_s) == ("timed_out", "time_limit", 90)
    assert done.result["files_changed"] == 1
    assert await house.charged(run) == time_cost_nanos(90, HOUR)
    assert (await house.funds()).held == Money(0)


async def test_a_run_ends_when_its_next_minute_is_refused_and_its_work_is_kept(shop: Shop, root: Path) -> None:
    """The gateway has refused nothing: the agent calls no model. What was set aside runs to its end, and no further."""
    house = shop.house
    async with at_work(shop, root, cap="0.10") as (run, working):
        await house.pass_time(run, 50)
        await house.pass_time(run, 10)
        async with asyncio.timeout(ENDS_WITHIN_S):
            await working
    done = await house.run(run)
    assert (done.state, done.reason) == ("paused_no_credit", "run_limit")
    assert done.ran_s <= 60
    assert done.result["files_changed"] == 1
    assert await house.charged(run) == time_cost_nanos(done.ran_s, HOUR)
    assert (await house.funds()).held == Money(0)


async def test_a_pulse_that_breaks_leaves_no_agent_unwatched(shop: Shop, root: Path) -> None:
    """Another hold has the id of the next minute's: an error that nobody foresaw, at each beat from then on."""
    house = shop.house
    async with at_work(shop, root) as (run, working):
        async with house.database.transaction() as db:
            taken = Hold(derived_id(f"run:{run.id}:time:2"), run.organization_id, 1, subjects_of(run))
            assert await post_batch(db, [taken]) == [Admitted()]
        await house.pass_time(run, 50)
        async with asyncio.timeout(ENDS_WITHIN_S):
            await working
    # Whoever takes it next settles it until its last beat, and saves what lies there.
    await house.lose_worker(run)
    workshop = machine(root, shop.repository, "")
    worker = AgentJobs(house.database, workshop, gateway_url="http://127.0.0.1:9")
    done = await shop.settle_lost(worker, run)
    assert (done.state, done.reason, done.result["files_changed"]) == ("interrupted", "worker_lost", 1)
