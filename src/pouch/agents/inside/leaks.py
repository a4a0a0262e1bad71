"""Look for known secrets in everything that a bundle would hold: contents, names and messages."""

import base64
import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

PIECE_BYTES = 1024 * 1024


def forms(values: Iterable[str]) -> dict[str, list[bytes]]:
    """Each value as it may stand in a file: as it is, inside of JSON, and in base64."""
    found: dict[str, list[bytes]] = {}
    for value in values:
        plain = value.strip()
        packed = base64.b64encode(plain.encode()).rstrip(b"=")
        # Its last character depends on what follows.
        found[value] = [plain.encode(), json.dumps(plain)[1:-1].encode(), packed[:-1]]
    return found


class Leaks:
    """Reads the objects of one git folder. `folder` is for lists that are too long for a pipe."""

    def __init__(self, repository: Path, folder: Path, values: Iterable[str]) -> None:
        self._git = ["/usr/bin/git", "--git-dir", str(repository)]
        self._ids = folder / "ids"
        self._values = forms(values)

    def ignore_shown_in(self, commit: str) -> None:
        """What the repository had before the run is no secret in it: a password of tests, a word."""
        lines = self._said("ls-tree", "-r", "-z", commit).split("\0")
        blobs = [line.split(" ", 2)[2].partition("\t")[0] for line in lines if line and line.split(" ")[1] == "blob"]
        shown = set().union(*self._found(blobs).values())
        self._values = {value: each for value, each in self._values.items() if value not in shown}

    def between(self, base: str, heads: Sequence[str]) -> set[str]:
        """The objects that came after the base and hold a secret."""
        if not self._values:
            return set()
        return set(self._found(self._said("rev-list", "--objects", "--no-object-names", *heads, f"^{base}").split()))

    def is_in(self, text: str) -> bool:
        """Whether a name holds one."""
        raw = text.encode(errors="surrogateescape")
        return any(form in raw for each in self._values.values() for form in each)

    def _found(self, ids: Sequence[str]) -> dict[str, set[str]]:
        """Which values each object holds, where it holds any."""
        self._ids.write_text("".join(f"{each}\n" for each in ids))
        overlap = max((len(form) for each in self._values.values() for form in each), default=1)
        found: dict[str, set[str]] = {}
        with (
            self._ids.open("rb") as given,
            subprocess.Popen([*self._git, "cat-file", "--batch"], stdin=given, stdout=subprocess.PIPE) as reading,
        ):
            assert reading.stdout is not None
            while line := reading.stdout.readline():
                id_, kind, *size = line.decode().split()
                # Git says "missing" of what is not there, and then it is in no bundle either.
                left = int(size[0]) if size else 0
                before = b""
                while left:
                    piece = reading.stdout.read(min(left, PIECE_BYTES))
                    if not piece:
                        raise EOFError(kind)
                    left -= len(piece)
                    piece = before + piece
                    for value, each in self._values.items():
                        if any(form in piece for form in each):
                            found.setdefault(id_, set()).add(value)
                    before = piece[-overlap:]
                if size:
                    reading.stdout.read(1)
        if reading.returncode:
            raise subprocess.CalledProcessError(reading.returncode, "git cat-file")
        return found

    def _said(self, *words: str) -> str:
        words = (*self._git, *words)
        return subprocess.run(
            words, env=os.environ, stdout=subprocess.PIPE, text=True, errors="surrogateescape", check=True
        ).stdout
