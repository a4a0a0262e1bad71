"""Places that outlast their worker, and what is never removed with them."""

import os
from pathlib import Path

import pytest

from pouch.agents.sandboxes.bubblewrap import Bubblewrap
from pouch.agents.sandboxes.errors import PlaceInUse, SandboxFailed, SandboxUnsafe
from pouch.agents.sandboxes.place import mounts_below, run_program
from pouch.agents.sandboxes.saving import save
from pouch.agents.sandboxes.types import Capability, GatewayAccess, Probe, RunSpec
from support.sandboxes import SMALL, SUMS, box, cloned, needs_bubblewrap, needs_root, repository

pytestmark = [pytest.mark.anyio, needs_bubblewrap]

SPEC = RunSpec("run-1", GatewayAccess("http://127.0.0.1:9", "k", ()), SMALL)


async def test_a_place_that_a_worker_left_behind_is_saved_and_destroyed(root: Path, tmp_path: Path) -> None:
    """The worker died: its process holds no account and no socket any more, and another one comes."""
    source = repository(tmp_path / "sums", SUMS)
    async with box(root) as sandbox:
        base = await cloned(sandbox, source)
        await sandbox.bash("echo kept > kept.txt")
        await sandbox.sandbox.stop(0)
        other = Bubblewrap(root)
        with pytest.raises(PlaceInUse):
            await other.adopt(SPEC, lambda _: None)
        # What a dead process no longer has.
        sandbox.sandbox.place.release()

        assert await other.leftovers() == ["run-1"]
        found = await other.adopt(SPEC, lambda _: None)
        assert found is not None
        saved = await save(found, "", "agent/lost", tmp_path / "saved")
        assert [file.path for file in saved.files] == ["kept.txt"]
        assert saved.head_sha != base
        await found.destroy()
        assert await other.leftovers() == []
        assert await other.adopt(SPEC, lambda _: None) is None


async def test_what_nobody_came_for_is_swept(root: Path) -> None:
    """And never what a living worker has, however old."""
    async with box(root) as living, box(root, name="run-2") as dead:
        for each in (living, dead):
            await each.sandbox.stop(0)
            os.utime(each.sandbox.place.folder, (0, 0))
        dead.sandbox.place.release()
        backend = Bubblewrap(root)
        assert await backend.sweep(older_than_s=10**12) == []
        assert await backend.sweep(older_than_s=3600) == ["run-2"]
        assert await backend.leftovers() == ["run-1"]
        assert not dead.sandbox.place.sockets.exists()


async def test_a_name_is_used_once(root: Path) -> None:
    async with box(root):
        with pytest.raises(SandboxFailed, match="already"):
            await Bubblewrap(root).prepare(SPEC, lambda _: None)


async def test_destroy_repeats_safely(root: Path) -> None:
    async with box(root) as sandbox:
        await sandbox.bash("mkdir -p a/b; chmod 000 a/b a; echo x > '/work/\u00fc'")
        await sandbox.sandbox.destroy()
        assert list(root.iterdir()) == []


@needs_root
async def test_what_is_mounted_into_a_place_is_never_removed_with_it(root: Path, tmp_path: Path) -> None:
    """A folder of the same disk that is bound looks like any other: ismount says no."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("of the operator")
    async with box(root) as sandbox:
        target = sandbox.sandbox.place.folder / "source99"
        target.mkdir()
        await run_program("mount", "--bind", str(precious), str(target))
        assert str(target) in mounts_below(sandbox.sandbox.place.folder)
    assert (precious / "file").read_text() == "of the operator"
    assert list(root.iterdir()) == []


class Unsafe(Bubblewrap):
    """A machine without user namespaces."""

    async def probe(self) -> Probe:
        await super().probe()
        return Probe("bubblewrap", (Capability("user namespaces", is_there=False, detail="", is_required=True),))


async def test_nothing_runs_on_a_machine_that_cannot_isolate_unless_told(root: Path) -> None:
    with pytest.raises(SandboxUnsafe, match="user namespaces"):
        await Unsafe(root).prepare(SPEC, lambda _: None)
    assert list(root.iterdir()) == []
    kinds: list[str] = []
    sandbox = await Unsafe(root, allow_unsafe=True).prepare(SPEC, lambda notice: kinds.append(notice.kind))
    await sandbox.destroy()
    assert kinds == ["unsafe"]
