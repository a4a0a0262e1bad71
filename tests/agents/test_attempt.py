"""A run from its start to its settled bill, with a real process as its agent."""

import asyncio

import psycopg
import pytest

from agents.local import refused
from agents.shop import WAITS, WRITES, Shop
from pouch.agents import wishes
from pouch.agents.artifacts import list_artifacts, newest, read_whole
from pouch.agents.jobs import AgentJobs
from pouch.base.money import Money
from pouch.catalog.agent_price import time_cost_nanos

pytestmark = pytest.mark.anyio

HOUR = 5_000_000_000


async def test_a_run_works_saves_and_is_billed_to_the_second(shop: Shop) -> None:
    house, workshop = shop.house, shop.workshop(WRITES)
    run = await house.start(repository=shop.repository)
    await shop.worker(workshop).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.reason) == ("succeeded", "")
    assert done.ran_s >= 1
    assert await house.charged(run) == time_cost_nanos(done.ran_s, HOUR)
    assert (await house.funds()).held == Money(0)
    assert done.result["files"] == [{"path": "calc.py", "added": 1, "removed": 1, "is_binary": False}]
    async with house.database.transaction() as db:
        patch = await newest(db, run.id, "patch")
    assert patch is not None
    assert b"+    return a + b" in await read_whole(house.database, patch, 10_000)
    assert workshop.sandboxes[0].is_destroyed
    said = await shop.events(run)
    assert [each.seq for each in said] == list(range(1, len(said) + 1))
    states = [each.body["state"] for each in said if each.type == "state"]
    assert states == ["queued", "starting", "running", "stopping", "succeeded"]


async def test_a_stopped_run_keeps_its_work_and_ends_at_once(shop: Shop) -> None:
    house, workshop = shop.house, shop.workshop(WAITS)
    run = await house.start(repository=shop.repository)
    working = asyncio.create_task(shop.worker(workshop).work_on(run.id))
    await shop.until_said(run, "I wait.")
    async with house.database.transaction() as db:
        await wishes.stop(db, run.organization_id, run.id)
    await working
    done = await house.run(run)
    assert (done.state, done.reason) == ("canceled", "stopped")
    assert done.result["files_changed"] == 1
    async with house.database.transaction() as db:
        kinds = {each.kind for each in await list_artifacts(db, run.id)}
    assert kinds == {"patch", "bundle", "transcript"}
    assert await house.charged(run) == time_cost_nanos(done.ran_s, HOUR)


async def test_a_paused_run_stands_still_costs_nothing_and_goes_on(shop: Shop) -> None:
    house, workshop = shop.house, shop.workshop(WAITS)
    run = await house.start(repository=shop.repository)
    working = asyncio.create_task(shop.worker(workshop).work_on(run.id))
    await shop.until_said(run, "I wait.")
    async with house.database.transaction() as db:
        await wishes.pause(db, run.organization_id, run.id)
    paused = await shop.until(run, lambda now: now.state == "paused")
    assert (await house.funds()).held == Money(0)
    await asyncio.sleep(1.2)
    assert (await house.run(run)).ran_us == paused.ran_us
    async with house.database.transaction() as db:
        await wishes.resume(db, run.organization_id, run.id)
    await shop.until(run, lambda now: now.state == "running")
    async with house.database.transaction() as db:
        await wishes.stop(db, run.organization_id, run.id)
    await working
    assert (await house.run(run)).state == "canceled"


async def test_a_message_reaches_the_agent_while_it_works(shop: Shop) -> None:
    hears = """
import json, sys
print(json.dumps({"type": "message", "text": "I wait."}))
print(json.dumps({"type": "message", "text": "heard " + json.loads(sys.stdin.readline())}))
"""
    house, workshop = shop.house, shop.workshop(hears)
    run = await house.start(repository=shop.repository)
    working = asyncio.create_task(shop.worker(workshop).work_on(run.id))
    await shop.until_said(run, "I wait.")
    async with house.database.transaction() as db:
        await wishes.say(db, run.organization_id, house.alice.id, run.id, "Use tabs")
    await working
    assert any(each.body.get("text") == "heard Use tabs" for each in await shop.events(run))
    assert (await house.run(run)).state == "succeeded"


async def test_out_of_credits_is_saved_paused_and_goes_on_after_a_purchase(shop: Shop) -> None:
    """The gateway refuses a call; the work is kept, the run waits, and a later attempt goes on from it."""
    house, workshop = shop.house, shop.workshop(WAITS)
    run = await house.start(repository=shop.repository, cap="20")
    working = asyncio.create_task(shop.worker(workshop).work_on(run.id))
    await shop.until_said(run, "I wait.")
    refused(workshop.sandboxes[0], "insufficient_credits")
    await working
    paused = await house.run(run)
    assert (paused.state, paused.reason, paused.is_live) == ("paused_no_credit", "credits", False)
    async with house.database.transaction() as db:
        await wishes.resume(db, run.organization_id, run.id)
    goes_on = shop.workshop("import pathlib; assert pathlib.Path('notes.txt').read_text() == 'half done\\n'")
    await shop.worker(goes_on).work_on(run.id)
    done = await house.run(run)
    assert done.state == "succeeded"
    assert goes_on.turns[0].resume
    assert await house.charged(run) == time_cost_nanos(done.ran_s, HOUR)


async def test_a_worker_that_is_to_end_gives_its_run_back_to_the_queue(shop: Shop) -> None:
    house, workshop = shop.house, shop.workshop(WAITS)
    run = await house.start(repository=shop.repository)
    worker = shop.worker(workshop)
    working = asyncio.create_task(worker.work_on(run.id))
    await shop.until_said(run, "I wait.")
    worker.drain()
    await working
    assert (await house.run(run)).state == "queued"
    await shop.worker(shop.workshop("import pathlib; pathlib.Path('notes.txt').unlink()")).work_on(run.id)
    assert (await house.run(run)).state == "succeeded"


async def test_a_repository_that_is_not_there_costs_nothing(shop: Shop) -> None:
    house = shop.house
    run = await house.start(repository=str(shop.folder / "nothing"))
    await shop.worker(shop.workshop(WRITES)).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.reason) == ("failed", "clone_failed")
    assert await house.charged(run) == 0


async def test_a_repository_that_takes_too_long_costs_nothing_and_says_so(shop: Shop) -> None:
    """The operator says how long it may take (`[agents] fetch_max_s`)."""
    house = shop.house
    run = await house.start(repository=shop.repository)
    worker = AgentJobs(house.database, shop.workshop(WRITES), gateway_url="http://127.0.0.1:9", fetch_max_s=0.0001)
    await worker.work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.reason) == ("failed", "start_timeout")
    assert any("was not fetched within" in str(each.body.get("text")) for each in await shop.events(run))
    assert await house.charged(run) == 0


async def test_an_agent_that_breaks_is_billed_until_then_and_its_work_is_kept(shop: Shop) -> None:
    breaks = "import pathlib; pathlib.Path('notes.txt').write_text('x'); raise SystemExit(3)"
    house = shop.house
    run = await house.start(repository=shop.repository)
    await shop.worker(shop.workshop(breaks)).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.reason) == ("failed", "engine_failed")
    assert done.result["files_changed"] == 1


async def test_secrets_never_reach_the_timeline(shop: Shop) -> None:
    house = shop.house
    says = """
import json, os
print(json.dumps({"type": "tool_output", "text": "key is " + os.environ["OPENAI_API_KEY"] + " and ghp_" + "a" * 36}))
"""
    workshop = shop.workshop(says)
    run = await house.start(repository=shop.repository)
    await shop.worker(workshop).work_on(run.id)
    said = next(each.body["text"] for each in await shop.events(run) if each.type == "tool_output")
    assert said == "key is [secret removed] and [secret removed]"


async def test_a_database_that_is_away_while_a_run_is_prepared_fails_nothing(shop: Shop, database_url: str) -> None:
    """Found by two hundred runs under kills: what an earlier attempt left was read once, and never again."""
    house, workshop = shop.house, shop.workshop(WRITES)
    run = await house.start(repository=shop.repository)
    refused = asyncio.Event()

    async def cut() -> None:
        # Every connection of the pool is ended, as a server that dies ends them.
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as db:
            await db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid()"
            )
        refused.set()

    workshop.on_prepare = cut
    await shop.worker(workshop).work_on(run.id)
    assert refused.is_set()
    assert (await house.run(run)).state == "succeeded"
