"""The work of a run whose worker is gone is saved where it lies, however many workers die over it."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agents.boxed import Lines, machine
from agents.local import LocalWorkshop
from agents.shop import WAITS, Shop
from pouch.agents.jobs import AgentJobs
from pouch.agents.machine import Machine
from pouch.agents.sandboxes.bubblewrap import Bubblewrap
from pouch.agents.sandboxes.cloning import Sources
from pouch.agents.sandboxes.errors import PlaceInUse, SaveFailed
from pouch.agents.sandboxes.host import HostSandbox
from pouch.agents.sandboxes.place import disk_of
from pouch.agents.sandboxes.types import GatewayAccess, RunSpec, Sandbox, Saved
from pouch.agents.types import Run
from pouch.base.database import Database
from support.sandboxes import SMALL, needs_bubblewrap, places

pytestmark = pytest.mark.anyio

HALF_DONE = "echo half done > notes.txt; echo I wait.; while true; do sleep 0.1; done"


@pytest.fixture
def root() -> Iterator[Path]:
    with places() as folder:
        yield folder


def worker(shop: Shop, workshop: Machine | LocalWorkshop) -> AgentJobs:
    return AgentJobs(shop.house.database, workshop, gateway_url="http://127.0.0.1:9")


async def lost(shop: Shop, root: Path) -> Run:
    """A run whose worker was killed while its agent worked: its place is there, and nothing runs in it."""
    shop.folder.chmod(0o755)
    run = await shop.house.start(repository=shop.repository)
    working = asyncio.create_task(worker(shop, machine(root, shop.repository, HALF_DONE)).work_on(run.id))
    await shop.until_said(run, "I wait.")
    await shop.house.lose_worker(run)
    await working
    return run


def spec_of(root: Path) -> RunSpec:
    (place,) = [each for each in root.iterdir() if each.is_dir()]
    return RunSpec(place.name, GatewayAccess("http://127.0.0.1", "", ()), SMALL)


async def adopted(root: Path) -> HostSandbox:
    """The place; another test's sandbox may have its account for a moment."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(PlaceInUse):
                found = await Bubblewrap(root).adopt(spec_of(root), lambda _: None)
                assert found is not None
                return found
            await asyncio.sleep(0.2)


@needs_bubblewrap
async def test_a_second_worker_that_dies_over_it_loses_nothing(shop: Shop, root: Path) -> None:
    """Whoever takes a lost run raises its epoch, and the place has still the name of the attempt that made it."""
    house, run = shop.house, await lost(shop, root)
    for _ in range(2):
        assert await house.take(run, disk=disk_of(root)) is not None
        await house.lose_worker(run)
    done = await shop.settle_lost(worker(shop, machine(root, shop.repository, "")), run)
    assert (done.state, done.reason, done.result["files_changed"]) == ("interrupted", "worker_lost", 1)
    assert [each.body["code"] for each in await shop.events(run) if each.type == "notice"] == ["worker_lost"]
    assert [each.name for each in root.iterdir() if each.is_dir()] == []


class SlowDisk(Machine):
    """Saving takes longer than what is left of the lease, so it ends only when somebody renewed that."""

    def of(self, database: Database, run: Run) -> "SlowDisk":
        self.database, self.run = database, run
        return self

    async def save(
        self, sandbox: Sandbox, folder: Path, base_sha: str, branch: str, *, secrets: Sequence[str]
    ) -> Saved:
        saved = await super().save(sandbox, folder, base_sha, branch, secrets=secrets)
        async with self.database.transaction() as db:
            await db.execute(
                "UPDATE agent_runs SET lease_until = clock_timestamp() + interval '15 seconds' WHERE id = %s",
                (self.run.id,),
            )
        async with asyncio.timeout(30):
            while not await self.is_renewed():
                await asyncio.sleep(0.1)
        return saved

    async def is_renewed(self) -> bool:
        async with self.database.transaction() as db:
            rows = await db.execute(
                "SELECT lease_until > clock_timestamp() + interval '16 seconds' FROM agent_runs WHERE id = %s",
                (self.run.id,),
            )
            row = await rows.fetchone()
        return bool(row and row[0])


@needs_bubblewrap
async def test_saving_may_take_longer_than_a_lease(shop: Shop, root: Path) -> None:
    run = await lost(shop, root)
    sources = Sources(local_roots=[Path(shop.repository).parent])
    slow = SlowDisk(Bubblewrap(root), sources=sources, limits=SMALL, engines={"native": Lines("")})
    done = await shop.settle_lost(worker(shop, slow.of(shop.house.database, run)), run)
    assert (done.state, done.result["files_changed"]) == ("interrupted", 1)


class FullDisk(Machine):
    """Nothing can be saved here."""

    async def save(
        self, sandbox: Sandbox, folder: Path, base_sha: str, branch: str, *, secrets: Sequence[str]
    ) -> Saved:
        del sandbox, folder, base_sha, branch, secrets
        raise SaveFailed("The disk is full.")


@needs_bubblewrap
async def test_a_place_that_cannot_be_saved_is_free_for_the_next_who_tries(shop: Shop, root: Path) -> None:
    """Its lock and its relay go with whoever gives up, not only with the process."""
    run = await lost(shop, root)
    full = worker(shop, FullDisk(Bubblewrap(root), sources=Sources(), limits=SMALL))
    assert (await shop.settle_lost(full, run)).state == "interrupted"
    assert [each.body["code"] for each in await shop.events(run) if each.type == "notice"][1:] == ["save_failed"]
    found = await adopted(root)
    assert (found.place.part("work") / "notes.txt").read_text() == "half done\n"
    await found.destroy()


async def test_lost_work_whose_patch_is_too_large_is_kept_without_it(shop: Shop) -> None:
    """The commits are there; only the patch is not, and the run says so."""
    writes = WAITS.replace('"half done\\n"', '("x" * 63 + "\\n") * (66 * 16384)')
    house, workshop = shop.house, shop.workshop(writes)
    run = await house.start(repository=shop.repository)
    working = asyncio.create_task(shop.worker(workshop).work_on(run.id))
    await shop.until_said(run, "I wait.")
    await house.lose_worker(run)
    await working
    await shop.worker(workshop).work_on(run.id)
    done = await house.run(run)
    assert (done.state, done.result["files_changed"]) == ("interrupted", 1)
    codes = [each.body["code"] for each in await shop.events(run) if each.type == "notice"]
    assert codes == ["worker_lost", "too_large"]
