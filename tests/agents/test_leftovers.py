"""Work on another machine's disk: left to that machine for a while, and kept whenever it comes back. Two real disks."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agents.boxed import machine
from agents.shop import Shop
from pouch.agents.artifacts import list_artifacts
from pouch.agents.jobs import AgentJobs
from pouch.agents.leftovers import Leftovers
from pouch.agents.machine import Machine
from pouch.agents.sandboxes.bubblewrap import Bubblewrap
from pouch.agents.sandboxes.cloning import Sources
from pouch.agents.sandboxes.errors import PlaceInUse, SaveFailed
from pouch.agents.sandboxes.host import HostSandbox
from pouch.agents.sandboxes.types import GatewayAccess, RunSpec, Sandbox, Saved
from pouch.agents.types import Run
from pouch.agents.workshop import Place
from pouch.base.database import Connection
from support.sandboxes import SMALL, needs_bubblewrap, places

pytestmark = [pytest.mark.anyio, needs_bubblewrap]

HALF_DONE = "echo half done > notes.txt; echo I wait.; while true; do sleep 0.1; done"


@pytest.fixture
def root() -> Iterator[Path]:
    with places() as folder:
        yield folder


@pytest.fixture
def other() -> Iterator[Path]:
    with places() as folder:
        yield folder


def worker(shop: Shop, root: Path) -> AgentJobs:
    return AgentJobs(shop.house.database, machine(root, shop.repository, HALF_DONE), gateway_url="http://127.0.0.1:9")


async def lost(shop: Shop, root: Path) -> Run:
    """A run whose worker was killed while its agent worked."""
    shop.folder.chmod(0o755)
    run = await shop.house.start(repository=shop.repository)
    working = asyncio.create_task(worker(shop, root).work_on(run.id))
    await shop.until_said(run, "I wait.")
    await shop.house.lose_worker(run)
    await working
    return run


async def sweep(shop: Shop, root: Path) -> None:
    async def place_of(_db: Connection, _run: Run) -> Place:
        return Place()

    found = machine(root, shop.repository, "")
    await Leftovers(shop.house.database, found, place_of).save_all()
    await found.sweep()


async def swept(shop: Shop, root: Path) -> None:
    """Until nothing is left; another test's sandbox may have the account of the place for a moment."""
    async with asyncio.timeout(60):
        while left_in(root):
            await sweep(shop, root)
            await asyncio.sleep(0.2)


async def notices(shop: Shop, run: Run) -> list[object]:
    return [each.body["code"] for each in await shop.events(run) if each.type == "notice"]


def left_in(root: Path) -> list[str]:
    return [each.name for each in root.iterdir() if each.is_dir()]


async def test_another_machine_leaves_a_lost_run_to_the_one_that_has_its_work(
    shop: Shop, root: Path, other: Path
) -> None:
    """It is settled at once; only the saving waits."""
    run = await lost(shop, root)
    await worker(shop, other).work_on(run.id)
    waits = await shop.house.run(run)
    assert (waits.state, waits.reason, waits.held_to_s) == ("stopping", "worker_lost", waits.billed_s)
    await sweep(shop, root)
    assert (await shop.house.run(run)).state == "stopping", "whoever takes the run saves it, not the sweep"
    done = await shop.settle_lost(worker(shop, root), run)
    assert (done.state, done.result["files_changed"]) == ("interrupted", 1)
    assert left_in(root) == []


async def test_work_of_a_machine_that_stays_away_is_kept_when_it_comes_back(
    shop: Shop, root: Path, other: Path
) -> None:
    house, run = shop.house, await lost(shop, root)
    await worker(shop, other).work_on(run.id)
    async with house.database.transaction() as db:
        await db.execute("UPDATE agent_runs SET state_since = state_since - interval '11 minutes'")
    await worker(shop, other).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.reason, dict(done.result)) == ("interrupted", "worker_lost", {})
    assert await notices(shop, run) == ["worker_lost", "work_away"]
    await sweep(shop, other)
    await swept(shop, root)
    done = await house.run(run)
    assert done.result["files_changed"] == 1
    assert await notices(shop, run) == ["worker_lost", "work_away", "work_found"]
    async with house.database.transaction() as db:
        assert {each.kind for each in await list_artifacts(db, run.id)} == {"patch", "bundle"}
    assert left_in(root) == []


class FullDisk(Machine):
    """Nothing can be saved here."""

    async def save(
        self, sandbox: Sandbox, folder: Path, base_sha: str, branch: str, *, secrets: Sequence[str]
    ) -> Saved:
        del sandbox, folder, base_sha, branch, secrets
        raise SaveFailed("The disk is full.")


async def test_work_that_could_not_be_saved_is_saved_by_a_later_sweep(shop: Shop, root: Path) -> None:
    run = await lost(shop, root)
    full = FullDisk(Bubblewrap(root), sources=Sources(), limits=SMALL)
    await shop.settle_lost(AgentJobs(shop.house.database, full, gateway_url="http://127.0.0.1:9"), run)
    assert await notices(shop, run) == ["worker_lost", "save_failed"]
    assert len(left_in(root)) == 1
    await swept(shop, root)
    assert (await shop.house.run(run)).result["files_changed"] == 1
    assert left_in(root) == []


async def adopted(root: Path, spec: RunSpec) -> HostSandbox:
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(PlaceInUse):
                found = await Bubblewrap(root).adopt(spec, lambda _: None)
                assert found is not None
                return found
            await asyncio.sleep(0.2)


async def test_a_place_that_a_living_worker_still_has_is_not_taken_for_lost(shop: Shop, root: Path) -> None:
    """It lost its claim and has not let go yet: whoever has the run comes again."""
    run = await lost(shop, root)
    (name,) = left_in(root)
    spec = RunSpec(name, GatewayAccess("http://127.0.0.1", "", ()), SMALL)
    zombie = await adopted(root, spec)
    await worker(shop, root).work_on(run.id)
    assert (await shop.house.run(run)).state == "stopping"
    assert await notices(shop, run) == ["worker_lost"]
    await zombie.leave()
    await shop.house.lose_worker(run)
    done = await shop.settle_lost(worker(shop, root), run)
    assert (done.state, done.result["files_changed"]) == ("interrupted", 1)
