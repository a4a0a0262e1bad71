"""Worker, web and Postgres die by SIGKILL while agents run and credits run out: no second is billed twice or unseen."""

import asyncio
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from kills.books import connected, say
from kills.driven_runs import OVER, Coder, Customer, customers, toml
from kills.judged_runs import judge_runs, judge_work
from kills.storm import seed_of_this_run
from kills.victims import Victim, kill, order_of
from pouch.agents.sandboxes.place import mounts_below, places_root
from support.pouch import POLL_S, RunningPouch
from support.sandboxes import needs_bubblewrap, repository
from support.upstream import fake_upstream

pytestmark = [needs_bubblewrap, pytest.mark.anyio]

PAST_LEASE_S = 240
"""A worker's lease is thirty seconds, and a killed server's holds as long; the rest is for a busy machine."""
AT_ONCE_MAX = 24
SIGNS_OF_LIFE = 3
"""So many new calls show that agents work."""
CREDITS_USD = "0.40"
"""Enough to begin, and not enough to end."""


@pytest.mark.timeout(500)
async def test_kills_bill_no_second_twice_and_lose_no_work_unsaid(tmp_path: Path) -> None:
    """Twelve runs of three people; each part of Pouch is killed, in random order, at random moments."""
    await weather(tmp_path, runs=12, victims={"work": 2, "serve": 2, "postgres": 1}, pause_s=(0.2, 2))


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_two_hundred_runs_under_sixty_kills(tmp_path: Path) -> None:
    """The same for longer, and with whole outages."""
    victims: dict[Victim, int] = {"work": 20, "serve": 16, "postgres": 14, "backend": 6, "everything": 4}
    await weather(tmp_path, runs=200, victims=victims, pause_s=(0.2, 8))


async def weather(folder: Path, *, runs: int, victims: dict[Victim, int], pause_s: tuple[float, float]) -> None:
    """Drive so many runs through a storm, and hold what is left against the books."""
    seed = seed_of_this_run()
    rng = random.Random(seed)
    folder.chmod(0o755)
    source = str(repository(folder / "sample", {"README.md": "# A sample\n"}))
    emails = ["alice@example.com", "bob@example.com", "dora@example.com"]
    async with fake_upstream() as upstream:
        upstream.script = coder = Coder()
        with RunningPouch(toml=toml(upstream, more=f'local_roots = ["{folder}"]')) as pouch:
            async with customers(pouch, emails, rng, usd=CREDITS_USD) as people:
                places = asyncio.Semaphore(AT_ONCE_MAX)
                async with asyncio.TaskGroup() as group:
                    driving = [
                        group.create_task(people[number % len(people)].run(f"task {number}", source, places))
                        for number in range(runs)
                    ]
                    group.create_task(storm(pouch, rng, victims, pause_s, driving, coder))
                await holds_are_gone(pouch)
                async with connected(pouch.ends.database_url) as db:
                    problems, states = await judge_runs(db, answered=coder.answered)
                    problems += await judge_work(db, Path(source), coder.done)
                tell(people, states, coder)
            # What killed workers left is swept after days; here it is in nobody's way.
            await asyncio.to_thread(pouch.stop)
            await asyncio.to_thread(lose_places, pouch.data_dir)
    assert problems == []
    assert sum(map(len, coder.done.values())) >= runs, "the model saw no work done"
    assert sum(states.values()) == runs
    # What they began with, and bought to begin, is less than what their runs cost.
    assert sum(each.waited for each in people) > 0, "nobody ran out of credits"
    assert states.get("succeeded", 0) > 0


async def storm(  # noqa: PLR0917 -- what is killed, when, and until when
    pouch: RunningPouch,
    rng: random.Random,
    victims: dict[Victim, int],
    pause_s: tuple[float, float],
    driving: list[asyncio.Task[None]],
    coder: Coder,
) -> None:
    """Kill one after the other, mostly when agents work again, as long as somebody still has a run."""
    for number, victim in enumerate(order_of(rng, victims)):
        seen, waits = coder.answered, number == 0 or rng.random() < 0.7
        while waits and coder.answered < seen + SIGNS_OF_LIFE and not all(each.done() for each in driving):
            await asyncio.sleep(POLL_S)
        await asyncio.sleep(rng.uniform(*pause_s))
        if all(each.done() for each in driving):
            say(f"all runs were over after {number} kills")
            return
        await kill(pouch, victim)
        say(f"{victim} was killed, {sum(each.done() for each in driving)} runs are over")


async def holds_are_gone(pouch: RunningPouch) -> None:
    """What a killed server had set aside for calls comes back when its lease is over."""
    async with asyncio.timeout(PAST_LEASE_S):
        while True:
            async with connected(pouch.ends.database_url) as db:
                rows = await db.execute("SELECT count(*) FROM ledger_holds WHERE state = 'open'")
                ((held,),) = await rows.fetchall()
            if not held:
                return
            await asyncio.sleep(POLL_S * 10)


def tell(people: list[Customer], states: dict[str, int], coder: Coder) -> None:
    """The figures of this storm."""
    say(f"runs: {states}; {coder.answered} calls answered")
    for each in people:
        say(f"{each.email}: {len(each.runs)} runs, interrupted {each.interrupted} times")
        say(f"  waited for credits {each.waited} times, {each.waited_within} within a run, {each.purchases} purchases")


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_a_worker_killed_with_its_scratch_folder_costs_at_most_what_came_after_the_last_checkpoint(
    tmp_path: Path,
) -> None:
    """The machine is gone: its processes and its disk. What was kept is there, and the run goes on from it."""
    tmp_path.chmod(0o755)
    source = str(repository(tmp_path / "sample", {"README.md": "# A sample\n"}))
    async with fake_upstream() as upstream:
        upstream.script = coder = Coder(steps=400, pause_s=0.1)
        more = f'keep_work_every_s = 2\nlocal_roots = ["{tmp_path}"]'
        with RunningPouch(toml=toml(upstream, more=more)) as pouch:
            async with customers(pouch, ["alice@example.com"], random.Random(1), usd="15") as (alice,):
                run_id = await alice.start("task", source)
                path = f"/api/v1/agent-runs/{run_id}"
                async with asyncio.timeout(PAST_LEASE_S):
                    while not (kept := (await alice.look(path))["result"].get("commits")):
                        await asyncio.sleep(0.2)
                    await kill(pouch, "work")
                    await asyncio.to_thread(lose_places, pouch.data_dir)
                    while (run := await alice.look(path))["state"] not in OVER:
                        await asyncio.sleep(0.5)
                assert (run["state"], run["reason"]) == ("interrupted", "worker_lost")
                assert len(run["result"]["commits"]) >= len(kept)
                coder.steps = 0
                await alice.see_through(run_id)
                assert alice.runs[run_id] == "succeeded"
                done = await alice.look(path)
                assert [each["sha"] for each in kept] == [each["sha"] for each in done["result"]["commits"]][
                    : len(kept)
                ]
                await holds_are_gone(pouch)
                async with connected(pouch.ends.database_url) as db:
                    problems, _ = await judge_runs(db, answered=coder.answered)
                assert problems == []
            await asyncio.to_thread(pouch.stop)
            await asyncio.to_thread(lose_places, pouch.data_dir)


def lose_places(data_dir: Path) -> None:
    """Take the disks of a machine's runs away."""
    root = places_root(data_dir)
    for mounted in mounts_below(root):
        subprocess.run(["umount", "--lazy", mounted], check=False)
    for place in root.iterdir():
        shutil.rmtree(place, ignore_errors=True)
