"""Work is kept while a run goes on, so that a machine that is lost takes little with it."""

import asyncio
import shutil

import pytest

from agents.shop import WAITS, Shop
from pouch.agents import wishes
from pouch.agents.artifacts import list_artifacts, newest, read_whole
from pouch.agents.jobs import AgentJobs

pytestmark = pytest.mark.anyio


async def test_a_lost_machine_takes_at_most_what_came_after_the_last_checkpoint(shop: Shop) -> None:
    """The worker's folder goes with it; another worker says until when the work is kept."""
    house, workshop = shop.house, shop.workshop(WAITS)
    run = await house.start(repository=shop.repository)
    worker = AgentJobs(house.database, workshop, gateway_url="http://127.0.0.1:9", keep_every_s=0.3)
    working = asyncio.create_task(worker.work_on(run.id))
    kept = await shop.until(run, lambda now: now.result.get("files_changed") == 1)
    assert kept.state == "running"
    await house.lose_worker(run)
    shutil.rmtree(workshop.sandboxes[0].folder)
    await working
    await shop.worker(workshop).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.reason, done.result["files_changed"]) == ("interrupted", "worker_lost", 1)
    async with house.database.transaction() as db:
        patch = await newest(db, run.id, "patch")
        assert {each.kind for each in await list_artifacts(db, run.id)} == {"patch", "bundle", "transcript"}
    assert patch is not None
    assert b"+half done" in await read_whole(house.database, patch, 10_000)
    notices = [each.body for each in await shop.events(run) if each.type == "notice"]
    assert [each["code"] for each in notices] == ["worker_lost", "work_lost"]
    assert "is kept" in str(notices[1]["text"])

    # And from there it goes on, when its person says so.
    async with house.database.transaction() as db:
        await wishes.say(db, run.organization_id, house.alice.id, run.id, "Go on.")
    later = shop.workshop("import pathlib; assert pathlib.Path('notes.txt').read_text() == 'half done\\n'")
    await shop.worker(later).work_on(run.id)
    assert (await house.run(run)).state == "succeeded"


async def test_work_that_was_never_kept_is_said_to_be_lost(shop: Shop) -> None:
    house, workshop = shop.house, shop.workshop(WAITS)
    run = await house.start(repository=shop.repository)
    working = asyncio.create_task(shop.worker(workshop).work_on(run.id))
    await shop.until_said(run, "I wait.")
    await house.lose_worker(run)
    shutil.rmtree(workshop.sandboxes[0].folder)
    await working
    await shop.worker(workshop).work_on(run.id)
    assert (await house.run(run)).state == "interrupted"
    notices = [each.body for each in await shop.events(run) if each.type == "notice"]
    assert "before any of the work was kept" in str(notices[1]["text"])


async def test_a_fault_of_ours_ends_the_run_keeps_its_work_and_is_not_hidden(shop: Shop) -> None:
    """What breaks the course of an attempt is raised for the lane's log, after the work was saved."""
    house, workshop = shop.house, shop.workshop("print('[1, 2')\nimport pathlib; pathlib.Path('a').write_text('b')")
    run = await house.start(repository=shop.repository)

    async def breaks(*_: object) -> None:
        raise ZeroDivisionError

    workshop.on_turn = breaks
    with pytest.raises(ZeroDivisionError):
        await shop.worker(workshop).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.reason) == ("failed", "internal_error")
    assert "files_changed" in done.result
