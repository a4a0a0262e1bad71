"""What people complain about elsewhere, each turned into a requirement, and a test named after it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agents.house import House, model_of
from agents.local import refused
from agents.shop import WAITS, WRITES, Shop
from pouch.agents import steps, wishes
from pouch.agents.artifacts import list_artifacts, read_whole
from pouch.agents.asking import read_ref
from pouch.agents.bill import bill_of
from pouch.agents.engines.native import Native
from pouch.agents.engines.types import Turn
from pouch.agents.jobs import AgentJobs
from pouch.agents.kinds import CAP_DEFAULT, TIME_LIMIT_DEFAULT_S, profiles
from pouch.agents.losing import STARTS_MAX
from pouch.agents.machine import Machine
from pouch.agents.moves import move
from pouch.agents.sandboxes.bubblewrap import Bubblewrap
from pouch.agents.sandboxes.cloning import Sources
from pouch.agents.store import clock, list_runs, lock_run
from pouch.agents.types import Run, RunState
from pouch.agents.wishes import NOT_OVER
from pouch.base.errors import InvalidInput
from pouch.base.ids import show_id
from pouch.base.money import Money
from pouch.catalog.agent_price import time_cost_nanos
from pouch.jobs.claims import Claim
from pouch.ledger.blocks import is_blocked
from support.gateway import Gateway, running_gateway
from support.sandboxes import GREETING, SMALL, calls, needs_bubblewrap, places, repository
from support.upstream import Exchange, chunk, usage, usage_chunk

pytestmark = pytest.mark.anyio

HOUR = 5_000_000_000
FEW = 7


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with running_gateway(database_url) as gateway:
        yield gateway


async def begun(house: House, **asked: str) -> tuple[Run, Claim, str]:
    """A run that runs, with the key of its attempt."""
    taken = await house.take(await house.start(**asked))  # type: ignore[arg-type]  # only texts here
    assert taken is not None
    async with house.database.transaction() as db:
        run = await steps.begin_to_run(db, taken.claim)
    assert isinstance(run, Run)
    return run, taken.claim, taken.secret


@pytest.mark.parametrize("state", ["succeeded", "failed", "canceled", "timed_out", "interrupted", "paused_no_credit"])
async def test_1_a_run_that_has_ended_makes_no_more_calls(gateway: Gateway, state: RunState) -> None:
    """Its key is dead in every process from the commit that ends it: the ledger holds nothing on it."""
    house = House(gateway.database, gateway.alice, model_of(None))
    run, claim, secret = await begun(house)
    agent = replace(gateway, secret=secret)
    assert (await agent.call()).status_code == 200
    async with house.database.transaction() as db:
        await steps.end(db, claim, state, "")
    before = await gateway.at_rest()
    assert (await agent.call()).status_code == 401
    assert (await gateway.at_rest()).posted == before.posted
    async with house.database.transaction() as db:
        assert await is_blocked(db, run.id) == (state != "paused_no_credit")


async def test_1_the_key_of_a_run_calls_its_own_model_alone_and_counts_in_its_cap(gateway: Gateway) -> None:
    house = House(gateway.database, gateway.alice, model_of(None))
    run, claim, secret = await begun(house)
    agent = replace(gateway, secret=secret)
    assert (await agent.call(model="up/small")).status_code == 403
    assert (await agent.call()).status_code == 200
    calls = await gateway.calls()
    async with house.database.transaction() as db:
        await steps.end(db, claim, "succeeded", "")
        bill = await bill_of(db, await house.run(run), await clock(db))
    assert bill.inference == calls[0].charged
    assert bill.limit is not None
    assert bill.limit.spent == bill.inference + bill.time_charged
    assert [each.model_id for each in bill.models] == ["up/paid"]


async def test_1_a_run_at_its_cap_makes_no_more_calls(gateway: Gateway) -> None:
    house = House(gateway.database, gateway.alice, model_of(None))
    _, _, secret = await begun(house, cap="0.0834")
    answer = await replace(gateway, secret=secret).call(max_tokens=4000)
    assert answer.status_code == 402
    assert answer.json()["error"]["metadata"]["limit_source"] == "run_limit"


async def test_2_one_list_shows_every_run_with_what_it_spends_and_one_act_stops_them_all(shop: Shop) -> None:
    house, workshop = shop.house, shop.workshop(WAITS)
    runs = [await house.start(repository=shop.repository) for _ in range(3)]
    worker = shop.worker(workshop)
    working = [asyncio.create_task(worker.work_on(run.id)) for run in runs]
    for run in runs[:2]:
        await shop.until_said(run, "I wait.")
    async with house.database.transaction() as db:
        live = await list_runs(db, house.alice.organization_id, states=NOT_OVER, limit=10)
        now = await clock(db)
        rates = [(await bill_of(db, run, now)).per_hour for run in live]
    assert [run.state for run in live] == ["queued", "running", "running"]
    assert rates == [Money(0), Money(HOUR), Money(HOUR)]
    async with house.database.transaction() as db:
        assert await wishes.stop_all(db, house.alice.organization_id) == 3
    await asyncio.gather(*working)
    assert {(await house.run(run)).state for run in runs} == {"canceled"}


async def test_3_each_charge_names_its_run_and_slice_and_each_state_says_whether_it_is_billed(house: House) -> None:
    run, claim = await house.running()
    for _ in range(3):
        await house.pass_time(run, 25)
        await house.beat(claim)
    async with house.database.transaction() as db:
        await steps.end(db, claim, "succeeded", "")
        bill = await bill_of(db, await house.run(run), await clock(db))
        rows = await db.execute(
            "SELECT id, cause, amount_nanos FROM ledger_transfers WHERE kind = 'agents' ORDER BY seq"
        )
        charges = await rows.fetchall()
    captured = [each for each in bill.slices if each.state == "captured"]
    assert [(each.from_s, each.billed_to_s) for each in captured] == [(0, 60), (60, 75)]
    assert [(show_id("line", id_), amount) for id_, _, amount in charges] == [
        (each.line_id, each.charged.nanos) for each in captured
    ]
    assert {cause for _, cause, _ in charges} == {run.id}
    assert bill.time == bill.time_charged
    assert set(bill.seconds) == {"queued", "starting", "running"}


async def test_4_and_5_the_workspace_goes_only_after_the_work_is_kept(shop: Shop) -> None:
    house, workshop = shop.house, shop.workshop(WRITES, saves_fail=True)
    run = await house.start(repository=shop.repository)
    await shop.worker(workshop).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.reason) == ("failed", "save_failed")
    assert not workshop.sandboxes[0].is_destroyed
    assert (workshop.sandboxes[0].folder / "work" / "calc.py").exists()


async def test_4_what_was_not_committed_is_kept_when_a_run_stops(shop: Shop) -> None:
    house, workshop = shop.house, shop.workshop(WAITS)
    run = await house.start(repository=shop.repository)
    working = asyncio.create_task(shop.worker(workshop).work_on(run.id))
    await shop.until_said(run, "I wait.")
    async with house.database.transaction() as db:
        await wishes.stop(db, run.organization_id, run.id)
    await working
    done = await house.run(run)
    assert done.result["was_unfinished"]
    async with house.database.transaction() as db:
        assert {each.kind for each in await list_artifacts(db, run.id)} >= {"patch", "bundle"}


async def test_6_the_result_says_what_git_saw_not_what_the_agent_said(shop: Shop) -> None:
    """It says that it did everything, and did nothing."""
    boasts = 'import json; print(json.dumps({"type": "message", "text": "All done, all tests pass."}))'
    house = shop.house
    run = await house.start(repository=shop.repository)
    await shop.worker(shop.workshop(boasts)).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.result["files_changed"], done.result["commits"]) == ("succeeded", 0, [])


async def test_6_a_worker_that_is_lost_is_told_and_its_work_saved(shop: Shop) -> None:
    """The process dies; another one of the same machine finds the workspace, saves it and says what happened."""
    house, workshop = shop.house, shop.workshop(WAITS)
    run = await house.start(repository=shop.repository)
    working = asyncio.create_task(shop.worker(workshop).work_on(run.id))
    await shop.until_said(run, "I wait.")
    await house.lose_worker(run)
    # The one that lost it would tidy up at its next beat; here it is gone before.
    workshop.sandboxes[0].folder.rename(shop.folder / "kept")
    await working
    (shop.folder / "kept").rename(workshop.sandboxes[0].folder)
    await shop.worker(workshop).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.reason, done.result["files_changed"]) == ("interrupted", "worker_lost", 1)
    async with house.database.transaction() as db:
        rows = await db.execute("SELECT kind, context->>'state' FROM mail_letters")
        assert await rows.fetchall() == [("agent_end", "Interrupted")]


async def test_7_every_run_has_a_cap_in_dollars_and_minutes(house: House) -> None:
    async with house.database.transaction() as db:
        defaults = await profiles(db, house.alice.organization_id)
    assert all(each.cap == CAP_DEFAULT and each.time_limit_s == TIME_LIMIT_DEFAULT_S for each in defaults.values())
    with pytest.raises(InvalidInput):
        await house.start(cap="0")


@needs_bubblewrap
@pytest.mark.parametrize("reason", ["repeating", "step_limit"])
async def test_7_a_run_that_goes_in_circles_or_takes_too_many_steps_is_ended_and_makes_no_more_calls(
    gateway: Gateway, tmp_path: Path, reason: str
) -> None:
    """The real engine in a real sandbox, with a model that never comes to an end."""
    asked = 0

    async def never_done(exchange: Exchange) -> None:
        nonlocal asked
        asked += 1
        command = "true" if reason == "repeating" else f"echo {asked}"
        await exchange.stream([chunk(calls(command)), chunk({}, "tool_calls"), usage_chunk(usage(7, 3)), b"[DONE]"])

    gateway.upstream.script = never_done
    tmp_path.chmod(0o755)
    source = repository(tmp_path / "sample", GREETING)
    house = House(gateway.database, gateway.alice, model_of(None))
    run = await house.start(repository=str(source))
    with places() as root:
        machine = Machine(
            Bubblewrap(root),
            sources=Sources(local_roots=[tmp_path]),
            limits=SMALL,
            engines={"native": Few()},
            allow_unsafe=True,
        )
        await AgentJobs(house.database, machine, gateway_url=gateway.url).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.reason) == ("failed", reason), done
    assert asked == (5 if reason == "repeating" else FEW)
    before = asked
    await gateway.at_rest()
    assert asked == before
    assert await house.charged(run) == time_cost_nanos(done.ran_s, HOUR)


class Few(Native):
    """The native engine, with fewer steps than usual."""

    def opening(self, turn: Turn) -> bytes:
        return super().opening(replace(turn, steps_max=FEW))


@pytest.mark.parametrize(("percent", "cap"), [(50, "0.15"), (80, "0.10"), (100, "0.083333334")])
async def test_7_half_most_and_all_of_a_cap_are_told_by_mail(house: House, percent: int, cap: str) -> None:
    """A minute costs eight cents and a third. Each share is told once."""
    run, claim = await house.running(cap=cap)
    for _ in range(7):
        await house.pass_time(run, 10)
        await house.beat(claim)
    async with house.database.transaction() as db:
        rows = await db.execute("SELECT context->>'percent' FROM mail_letters WHERE kind = 'agent_share'")
        assert await rows.fetchall() == [(str(percent),)]


async def test_8_a_start_that_fails_is_free_and_says_why(shop: Shop) -> None:
    house = shop.house
    run = await house.start(repository=str(shop.folder / "nowhere"))
    await shop.worker(shop.workshop(WRITES)).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.reason, done.ran_us) == ("failed", "clone_failed", 0)
    assert (await house.funds()).posted == Money.parse("10")


async def test_8_more_runs_than_places_wait_in_line_and_nobody_is_overtaken(house: House) -> None:
    first, second, third, fourth = [await house.start() for _ in range(4)]
    taken = [await house.take(run) for run in (first, second)]
    assert all(taken)
    assert await house.take(third) is None
    assert await house.take(fourth) is None
    async with house.database.transaction() as db:
        assert taken[0] is not None
        await steps.end(db, taken[0].claim, "canceled", "")
        await db.execute("UPDATE agent_runs SET due_at = now() WHERE state = 'queued'")
    assert await house.take(fourth) is None
    async with house.database.transaction() as db:
        await db.execute("UPDATE agent_runs SET due_at = now() WHERE state = 'queued'")
    assert await house.take(third) is not None


async def test_8_a_start_whose_machine_is_lost_begins_anew_for_nothing_and_not_for_ever(house: House) -> None:
    run = await house.start()
    for _ in range(STARTS_MAX):
        taken = await house.take(run)
        assert taken is not None
        assert taken.after == "begin"
        await house.lose_worker(run)
    assert await house.take(run) is None
    assert (await house.run(run)).state == "failed"
    assert (await house.funds()).posted == Money.parse("10")


@pytest.mark.parametrize("state", ["succeeded", "failed", "canceled", "timed_out", "interrupted", "paused_no_credit",
                                   "paused", "waiting_user", "queued"])  # fmt: skip
async def test_9_every_way_out_of_running_is_charged_by_the_servers_clock(house: House, state: RunState) -> None:
    """Neither does a stop in the middle of a minute come for free, nor is the minute charged whole."""
    run, _ = await house.running()
    await house.pass_time(run, 33)
    async with house.database.transaction() as db:
        locked = await lock_run(db, run.id)
        assert locked is not None
        await move(db, locked[0], state, at=locked[1])
    assert await house.charged(run) == time_cost_nanos(33, HOUR)
    assert (await house.funds()).held == Money(0)


@pytest.mark.parametrize("ref", ["--upload-pack=x", "a b", "a;rm", "a..b", "$(id)", "a`id`", "-x", "x.lock", "a\nb"])
async def test_10_the_name_of_a_branch_is_never_more_than_a_name(ref: str) -> None:
    with pytest.raises(InvalidInput):
        read_ref(ref)


async def test_11_without_credits_the_work_is_saved_and_goes_on_after_a_purchase(shop: Shop) -> None:
    house, workshop = shop.house, shop.workshop(WAITS)
    run = await house.start(repository=shop.repository, cap="20")
    working = asyncio.create_task(shop.worker(workshop).work_on(run.id))
    await shop.until_said(run, "I wait.")
    refused(workshop.sandboxes[0], "insufficient_credits")
    await working
    paused = await house.run(run)
    assert (paused.state, paused.reason) == ("paused_no_credit", "credits")
    await house.grant("5")
    async with house.database.transaction() as db:
        await wishes.resume(db, run.organization_id, run.id)
    await shop.worker(shop.workshop("import pathlib; pathlib.Path('notes.txt').read_text()")).work_on(run.id)
    done = await house.run(run)
    assert done.state == "succeeded"
    assert await house.charged(run) == time_cost_nanos(done.ran_s, HOUR)


async def test_12_no_secret_reaches_what_is_stored(shop: Shop) -> None:
    house = shop.house
    leaks = """
import json, os, pathlib
key = os.environ["OPENAI_API_KEY"]
print(json.dumps({"type": "tool_output", "text": key}))
print(key)
call = {"role": "assistant", "tool_calls": [{"function": {"arguments": json.dumps({"command": "echo " + key})}}]}
(pathlib.Path.cwd().parent / "session.json").write_text(json.dumps([call, {"role": "tool", "content": key}]))
pathlib.Path("a.txt").write_text("done")
"""
    workshop = shop.workshop(leaks)
    run = await house.start(repository=shop.repository)
    await shop.worker(workshop).work_on(run.id)
    async with house.database.transaction() as db:
        rows = await db.execute("SELECT string_agg(body::text, '') FROM agent_run_events WHERE run_id = %s", (run.id,))
        ((everything,),) = await rows.fetchall()
    assert workshop.sandboxes[0].spec.gateway.key not in everything
    assert everything.count("[secret removed]") == 2
    async with house.database.transaction() as db:
        kept = {each.kind: each for each in await list_artifacts(db, run.id)}
    said = {kind: await read_whole(house.database, each, 100_000) for kind, each in kept.items()}
    assert set(said) == {"patch", "bundle", "transcript"}
    assert not [kind for kind, content in said.items() if workshop.sandboxes[0].spec.gateway.key.encode() in content]
    assert said["transcript"].count(b"[secret removed]") == 2
