"""What a set-up made, as one stream: the home folder, and what lies in the workspace beside what git knows.

layer.py pack > LAYER      after a set-up
layer.py unpack < LAYER    in the place of one
"""

import gzip
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

WORK, HOME = Path("/work"), Path.home()
NOT_KEPT = HOME / ".pouch"
"""The talk of a run belongs to the run."""


def pack() -> None:
    """Write it, quickly rather than small."""
    with (
        gzip.GzipFile(fileobj=sys.stdout.buffer, mode="wb", compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        for path in (*_made(), *_home()):
            if path.is_symlink() or path.is_file() or path.is_dir():
                tar.add(path, str(path).lstrip("/"), recursive=False)


def unpack() -> None:
    """Put it there. We are nobody here: what the sandbox does not let us write stays as it is."""
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|gz") as tar:
        for entry in tar:
            tar.extract(entry, "/", set_attrs=True)


def _made() -> Iterator[Path]:
    """What the set-up left in the workspace: new files, ignored ones too, and those that it changed."""
    words = ["/usr/bin/git", "-c", "core.fsmonitor=false", "ls-files", "-z", "--others", "--modified"]
    done = subprocess.run(words, cwd=WORK, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    for name in sorted(set(done.stdout.split(b"\0"))):
        if name:
            yield WORK / os.fsdecode(name)


def _home() -> Iterator[Path]:
    for parent, folders, files in os.walk(HOME):
        folders[:] = [each for each in folders if Path(parent, each) != NOT_KEPT]
        for name in (*folders, *files):
            yield Path(parent, name)


if __name__ == "__main__":
    {"pack": pack, "unpack": unpack}[sys.argv[1]]()
