"""A message to a run that is over lets it go on; a run that asks waits for its answer, and costs nothing meanwhile."""

import asyncio
from datetime import timedelta

import pytest

from agents.house import House
from agents.shop import WRITES, Shop
from pouch.agents import wishes
from pouch.agents.errors import NotEnoughCredits, WrongState
from pouch.agents.forgetting import forget_run
from pouch.agents.moves import move
from pouch.agents.steps import begin_to_run
from pouch.agents.store import lock_run
from pouch.agents.types import Run, RunState
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.catalog.agent_price import time_cost_nanos
from pouch.ledger.blocks import is_blocked
from pouch.ledger.limits import limits_of
from pouch.ledger.operations import Hold
from pouch.ledger.posting import post_batch

pytestmark = pytest.mark.anyio

HOUR = 5_000_000_000
ASKS = """
import json, os, pathlib, time
if os.environ["RESUME"]:
    pathlib.Path("answer.txt").write_text(os.environ["TASK"])
else:
    pathlib.Path("begun.txt").write_text("begun")
    print(json.dumps({"type": "message", "text": "Tabs or spaces?", "is_question": True}))
    raise SystemExit(79)
"""
GOES_ON = """
import os, pathlib, time
assert "a + b" in pathlib.Path("calc.py").read_text()
pathlib.Path("more.txt").write_text(os.environ["TASK"])
time.sleep(1.1)
"""


async def say(house: House, run: Run, text: str) -> Run:
    async with house.database.transaction() as db:
        return await wishes.say(db, run.organization_id, house.alice.id, run.id, text)


async def over(house: House, run: Run, state: RunState) -> None:
    async with house.database.transaction() as db:
        locked = await lock_run(db, run.id)
        assert locked is not None
        await move(db, locked[0], state, at=locked[1])


async def test_a_message_to_a_finished_run_goes_on_from_its_work_and_its_talk(shop: Shop) -> None:
    """The same run, branch, price and cap; a new key; its seconds go on counting, and each is charged once."""
    house = shop.house
    run = await house.start(repository=shop.repository)
    await shop.worker(shop.workshop(WRITES)).work_on(run.id)
    first = await house.run(run)
    assert first.state == "succeeded"

    again = await say(house, run, "Add a subtraction, too.")
    assert (again.state, again.ended_at) == ("queued", None)
    workshop = shop.workshop(GOES_ON)
    await shop.worker(workshop).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.number, done.work_branch) == ("succeeded", first.number, first.work_branch)
    assert (workshop.turns[0].task, workshop.turns[0].resume) == ("Add a subtraction, too.", True)
    assert {each["path"] for each in done.result["files"]} == {"calc.py", "more.txt"}  # type: ignore[attr-defined]  # JSON
    assert done.result["base_sha"] == first.result["base_sha"]
    assert done.ran_s > first.ran_s
    assert await house.charged(run) == time_cost_nanos(done.ran_s, HOUR)
    async with house.database.transaction() as db:
        assert await is_blocked(db, run.id)
        rows = await db.execute("SELECT key_id FROM agent_run_attempts WHERE run_id = %s", (run.id,))
        keys = [key for (key,) in await rows.fetchall()]
        assert len(set(keys)) == 2
        assert all([await is_blocked(db, key) for key in keys])


@pytest.mark.parametrize("state", ["succeeded", "failed", "canceled", "interrupted"])
async def test_what_a_run_cost_before_counts_in_its_cap_when_it_goes_on(house: House, state: RunState) -> None:
    """Nine cents allow one minute. Gone on, it gets no second one."""
    run, _ = await house.running(cap="0.09")
    await house.pass_time(run, 30)
    await over(house, run, state)
    again = await say(house, run, "Go on.")
    taken = await house.take(again)
    assert taken is not None
    assert taken.after == "resume"
    async with house.database.transaction() as db:
        refused = await begin_to_run(db, taken.claim)
        (limit,) = (await limits_of(db, [run.id]))[run.id]
    assert refused.source == "run_limit"  # type: ignore[union-attr]  # a refusal, and no run
    assert limit.spent == Money(time_cost_nanos(30, HOUR))


async def test_a_run_without_time_credits_or_content_does_not_go_on(house: House) -> None:
    run, _ = await house.running(minutes=1)
    await house.pass_time(run, 90)
    await over(house, run, "timed_out")
    with pytest.raises(WrongState, match="as long as it may"):
        await say(house, run, "Go on.")

    deleted, _ = await house.running()
    await over(house, deleted, "canceled")
    async with house.database.transaction() as db:
        await forget_run(db, deleted.organization_id, deleted.id)
    with pytest.raises(WrongState, match="deleted"):
        await say(house, deleted, "Go on.")

    dear, _ = await house.running()
    await over(house, dear, "succeeded")
    async with house.database.transaction() as db:
        funds = await house.funds()
        await post_batch(db, [Hold(new_id(), house.alice.organization_id, funds.available.nanos, ())])
    with pytest.raises(NotEnoughCredits):
        await say(house, dear, "Go on.")
    assert (await house.run(dear)).state == "succeeded"


async def test_a_run_that_asks_is_not_billed_while_it_waits_and_goes_on_with_the_answer(shop: Shop) -> None:
    house, workshop = shop.house, shop.workshop(ASKS)
    run = await house.start(repository=shop.repository)
    working = asyncio.create_task(shop.worker(workshop).work_on(run.id))
    waiting = await shop.until(run, lambda now: now.state == "waiting_user")
    assert (waiting.reason, waiting.is_live) == ("asks", True)
    assert (await house.funds()).held == Money(0)
    await asyncio.sleep(1.2)
    assert (await house.run(run)).ran_us == waiting.ran_us
    await say(house, run, "Tabs.")
    await working
    done = await house.run(run)
    assert done.state == "succeeded"
    assert [turn.task for turn in workshop.turns] == ["Fix it", "Tabs."]
    assert {each["path"] for each in done.result["files"]} == {"answer.txt", "begun.txt"}  # type: ignore[attr-defined]  # JSON
    assert await house.charged(run) == time_cost_nanos(done.ran_s, HOUR)
    async with house.database.transaction() as db:
        rows = await db.execute(
            "SELECT context->>'state' FROM mail_letters WHERE kind = 'agent_end' ORDER BY created_at"
        )
        assert [state for (state,) in await rows.fetchall()] == ["Waiting for you", "Done"]


async def test_an_answer_that_comes_later_finds_the_work_where_it_was(shop: Shop) -> None:
    """Nobody answers for a while: the worker saves the work and turns to others; the answer brings the run back."""
    house, workshop = shop.house, shop.workshop(ASKS)
    run = await house.start(repository=shop.repository)
    worker = shop.worker(workshop)
    working = asyncio.create_task(worker.work_on(run.id))
    await shop.until(run, lambda now: now.state == "waiting_user")
    worker.drain()
    await working
    rests = await house.run(run)
    assert (rests.state, rests.reason, rests.is_live) == ("waiting_user", "asks", False)
    answered = await say(house, run, "Spaces.")
    assert answered.state == "queued"
    later = shop.workshop(ASKS)
    await shop.worker(later).work_on(run.id)
    done = await house.run(run)
    assert done.state == "succeeded"
    assert later.turns[0].task == "Spaces."
    assert done.result["files_changed"] == 2


async def test_a_question_that_nobody_answers_ends_its_run(shop: Shop) -> None:
    house, worker = shop.house, shop.worker(shop.workshop(ASKS))
    run = await house.start(repository=shop.repository)
    working = asyncio.create_task(worker.work_on(run.id))
    await shop.until(run, lambda now: now.state == "waiting_user")
    worker.drain()
    await working
    async with house.database.transaction() as db:
        await wishes.end_unanswered(db, 7)
    assert (await house.run(run)).state == "waiting_user"
    async with house.database.transaction() as db:
        await db.execute("UPDATE agent_runs SET state_since = state_since - %s", (timedelta(days=7),))
        await wishes.end_unanswered(db, 7)
    done = await house.run(run)
    assert (done.state, done.reason) == ("timed_out", "no_answer")
    # Late is better than never: what it did is kept.
    assert (await say(house, run, "Tabs, sorry.")).state == "queued"


async def test_an_automations_run_is_told_that_nobody_answers(shop: Shop) -> None:
    house, workshop = shop.house, shop.workshop(WRITES)
    run = await house.start(repository=shop.repository)
    async with house.database.transaction() as db:
        await db.execute("UPDATE agent_runs SET trigger = 'schedule' WHERE id = %s", (run.id,))
    await shop.worker(workshop).work_on(run.id)
    assert [turn.may_ask for turn in workshop.turns] == [False]
