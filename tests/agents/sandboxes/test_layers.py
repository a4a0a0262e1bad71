"""What a set-up made is there for the next run of the same, and for nobody else."""

import os
import time
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from agents.house import House
from agents.shop import Shop
from pouch.agents.environments import save_environment
from pouch.agents.jobs import AgentJobs
from pouch.agents.machine import Machine
from pouch.agents.sandboxes.bubblewrap import Bubblewrap
from pouch.agents.sandboxes.cloning import Sources
from pouch.agents.sandboxes.errors import SandboxFailed
from pouch.agents.sandboxes.layers import LayerName, Layers
from pouch.agents.sandboxes.types import MIB, Cloned, GatewayAccess, RunSpec
from pouch.agents.set_up import layer_of
from pouch.agents.types import Run
from pouch.agents.workshop import Place
from pouch.base.database import Connection
from pouch.base.errors import InvalidInput
from support.sandboxes import SMALL, SUMS, Box, box, cloned, needs_bubblewrap, repository

pytestmark = pytest.mark.anyio

ALICE, CAROL = uuid4(), uuid4()


def layers(folder: Path, *, mib: int = 64, days: int = 14) -> Layers:
    return Layers(folder, bytes_max=mib * MIB, days_max=days)


def kept(folder: Path, organization: UUID, key: str, size: int, age_s: float) -> Path:
    path = folder / organization.hex / f"{key}.layer"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


@needs_bubblewrap
async def test_what_a_set_up_made_is_there_again_in_another_workspace(root: Path, tmp_path: Path) -> None:
    source = repository(tmp_path / "sums", SUMS | {".gitignore": "/packages/\n"})
    name, here = LayerName.of(ALICE, "one"), layers(tmp_path / "layers")
    async with box(root) as sandbox:
        await cloned(sandbox, source)
        assert not await here.recall(sandbox.sandbox, name)
        made = (
            "mkdir -p packages/a ~/.cache ~/.pouch; echo 1 > packages/a/b; ln -s a packages/c; chmod 755 packages/a/b; "
        )
        made += "echo warm > ~/.cache/x; echo talk > ~/.pouch/session.json; echo '# more' >> sums.py"
        ran = await sandbox.run("/bin/bash", "-c", made, phase="setup")
        assert ran.ending.code == 0, ran.said
        await here.remember(sandbox.sandbox, name)
    async with box(root, name="run-2") as other:
        await cloned(other, source)
        assert await here.recall(other.sandbox, name)
        looks = (
            "cat packages/c/b ~/.cache/x; tail -1 sums.py; stat -c %a packages/a/b; ls -A ~/.pouch 2>/dev/null; id -u"
        )
        ran = await other.run("/bin/bash", "-c", looks)
    assert ran.out.split() == ["1", "warm", "#", "more", "755", "1000"], ran.said
    async with box(root, name="run-3") as stranger:
        assert not await here.recall(stranger.sandbox, LayerName(CAROL, name.key))


@needs_bubblewrap
async def test_a_layer_that_is_broken_or_too_large_is_not_kept(root: Path, tmp_path: Path) -> None:
    name, here = LayerName.of(ALICE, "one"), layers(tmp_path / "layers", mib=1)
    async with box(root) as sandbox:
        await cloned(sandbox, repository(tmp_path / "sums", SUMS))
        await sandbox.run("/bin/bash", "-c", "head -c 3000000 /dev/urandom > big", phase="setup")
        await here.remember(sandbox.sandbox, name)
        assert list((tmp_path / "layers").glob("*/*")) == []
        path = kept(tmp_path / "layers", ALICE, name.key, 5000, 0)
        assert not await here.recall(sandbox.sandbox, name)
        assert not path.exists()


def test_the_oldest_and_the_longest_unused_go(tmp_path: Path) -> None:
    old = kept(tmp_path, ALICE, "old", 10, 15 * 24 * 3600)
    unused = kept(tmp_path, ALICE, "unused", 600_000, 3600)
    used = kept(tmp_path, CAROL, "used", 600_000, 60)
    draft = kept(tmp_path, ALICE, "draft", 10, 7200).rename(tmp_path / ALICE.hex / "x.layer.7-1")
    layers(tmp_path, mib=1).evict()
    assert [path.exists() for path in (old, unused, used, draft)] == [False, False, True, False]


async def test_a_layer_is_named_by_everything_that_the_set_up_saw(house: House) -> None:
    run: Run = await house.start()
    place = Place(("make",), {"MODE": "test"}, {"TOKEN": "very secret"}, tools=("python 3.12",), changed="1")
    base = Cloned("a" * 40, "main", "locks")
    names = {
        layer_of(run, place, base),
        layer_of(replace(run, repository="https://git.harbor.example/other.git"), place, base),
        layer_of(replace(run, branch="side"), place, base),
        layer_of(replace(run, organization_id=CAROL), place, base),
        layer_of(run, place, replace(base, locks="other")),
        layer_of(run, replace(place, commands=("make all",)), base),
        layer_of(run, replace(place, variables={"MODE": "other"}), base),
        layer_of(run, replace(place, setup_secrets={"TOKEN": "another secret"}), base),
        layer_of(run, replace(place, tools=()), base),
        layer_of(run, replace(place, changed="2"), base),
    }
    assert len({(name.organization_id, name.key) for name in names}) == 10
    assert layer_of(run, place, replace(base, base_sha="b" * 40)) in names


async def test_the_set_up_of_the_same_environment_runs_once(shop: Shop, tmp_path: Path) -> None:
    """The second run says so; the run that goes on with work of its own is set up by its commands."""
    house, workshop = shop.house, shop.workshop("pass")
    ran = tmp_path / "ran"

    async def place_of(_db: Connection, _run: Run) -> Place:
        return Place((f"echo x >> {ran}",))

    worker = AgentJobs(house.database, workshop, gateway_url="http://127.0.0.1:9", place_of=place_of)
    for _ in range(2):
        run = await house.start(repository=shop.repository)
        await worker.work_on(run.id)
        assert (await house.run(run)).state == "succeeded"
    assert ran.read_text() == "x\n"
    said = [str(each.body["command"]) for each in await shop.events(run) if each.type == "setup_log"]
    assert said == ["Taken from an earlier set-up; nothing that it depends on has changed."]


@needs_bubblewrap
async def test_a_tool_of_the_operators_comes_before_what_the_machine_has(root: Path, tmp_path: Path) -> None:
    tool = tmp_path / "python"
    (tool / "bin").mkdir(parents=True)
    (tool / "bin" / "greet").write_text("#!/bin/sh\necho version 9\n")
    (tool / "bin" / "greet").chmod(0o755)
    tmp_path.chmod(0o755)
    machine = Machine(Bubblewrap(root), sources=Sources(), limits=SMALL, tools={"greet 9": tool}, allow_unsafe=True)
    spec = RunSpec("run-1", GatewayAccess("http://127.0.0.1:9", "", ()), SMALL, tools=("greet 9",))
    sandbox = await machine.prepare(spec, lambda _: None)
    try:
        ran = await Box(sandbox).run("/bin/bash", "-c", "greet")  # type: ignore[arg-type]  # what bubblewrap makes
        assert ran.out == "version 9\n"
    finally:
        await sandbox.destroy()
    with pytest.raises(SandboxFailed, match="no greet 8"):
        await machine.prepare(replace(spec, name="run-2", tools=("greet 8",)), lambda _: None)


async def test_an_environment_asks_only_for_tools_that_there_are(house: House) -> None:
    async with house.database.transaction() as db:
        with pytest.raises(InvalidInput, match=r"there are: python 3\.12"):
            await save_environment(
                db,
                house.alice.organization_id,
                environment_id=None,
                name="Shop",
                commands="",
                hosts="",
                tools="python 2.7",
                offered=["python 3.12"],
            )
