"""Begin the run's branch in a fresh clone, with what an earlier attempt saved.

Reads a tar with run.bundle and session.json from standard input; neither need be there.

restore.py BRANCH
"""

import subprocess
import sys
import tarfile
from pathlib import Path

WORK, STATE = "/work", Path("/home/agent/.pouch")
BUNDLE = Path("/tmp/run.bundle")  # noqa: S108 -- the sandbox's own


def main(branch: str, bundled: str) -> None:
    """Restore."""
    STATE.mkdir(parents=True, exist_ok=True)
    places = {"run.bundle": BUNDLE, "session.json": STATE / "session.json"}
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as tar:
        for entry in tar:
            opened = tar.extractfile(entry)
            if opened is not None and entry.name in places:
                places[entry.name].write_bytes(opened.read())
    if BUNDLE.exists():
        _git("fetch", "--quiet", "--no-recurse-submodules", str(BUNDLE), f"+refs/heads/{bundled}:refs/pouch/restored")
        _git("checkout", "--quiet", "-B", branch, "refs/pouch/restored")
    else:
        _git("checkout", "--quiet", "-B", branch)


def _git(*words: str) -> None:
    subprocess.run(["/usr/bin/git", *words], cwd=WORK, stdin=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
