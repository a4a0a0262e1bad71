"""Keep the agent's work after every step: a commit on a hidden ref, made from an index of our own."""

import os
import subprocess
from pathlib import Path

WORK = "/work"
REF = "refs/pouch/checkpoint"
TIMEOUT_S = 60
_GIT = ("/usr/bin/git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0")


class Checkpoints:
    """The agent's own index, branch and stash are never touched."""

    def __init__(self, state: Path) -> None:
        self._environment = os.environ | {
            "GIT_INDEX_FILE": str(state / "index"),
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_AUTHOR_NAME": "Pouch",
            "GIT_AUTHOR_EMAIL": "checkpoint@pouch.invalid",
            "GIT_COMMITTER_NAME": "Pouch",
            "GIT_COMMITTER_EMAIL": "checkpoint@pouch.invalid",
        }
        self._tree = ""

    def keep(self, what: str) -> str | None:
        """Commit everything there is. The commit's id; None when nothing changed since, or it cannot be done."""
        try:
            self._git("add", "--all", "--ignore-errors")
            tree = self._git("write-tree")
            head = self._git("rev-parse", "HEAD")
            if tree == self._tree or (not self._tree and tree == self._git("rev-parse", "HEAD^{tree}")):
                self._tree = tree
                return None
            commit = self._git("commit-tree", tree, "-p", head, "-m", what)
            self._git("update-ref", REF, commit)
        except (OSError, subprocess.SubprocessError):
            # The agent may have taken the repository away; what can be saved is found at the end, outside.
            return None
        self._tree = tree
        return commit

    def _git(self, *words: str) -> str:
        done = subprocess.run(
            [*_GIT, *words],
            cwd=WORK,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        return done.stdout.strip()
