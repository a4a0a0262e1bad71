"""Guards: each patch in tests/guards breaks one protection of money, and the test it names must notice.

A patch's first line is the test, the second what goes wrong without the protection; the rest is a unified diff. It is
found by its text, not by its line numbers, so that it goes on applying while the file around it changes.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from support.postgres import throwaway_postgres

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "guards"
TIMEOUT_S = 300
ALL_TIMEOUT_S = 1800

Verdict = Literal["red", "GREEN", "BROKEN"]
"""red: the test noticed. GREEN: it did not. BROKEN: it could not even be run."""


class DoesNotApply(Exception):
    """The text that a patch replaces is not there, or not once."""


@dataclass(frozen=True, slots=True)
class Guard:
    """One patch."""

    name: str
    test: str
    harm: str
    hunks: tuple[tuple[str, str, str], ...]
    """File, what stands there, and what the patch puts in its place."""

    def apply(self, tree: Path) -> None:
        """Break the tree. Raises DoesNotApply."""
        for file, before, after in self.hunks:
            path = tree / file
            text = path.read_text() if path.exists() else ""
            if text.count(before) != 1:
                raise DoesNotApply(f"{self.name}: its text stands {text.count(before)} times in {file}")
            path.write_text(text.replace(before, after))


def guards(names: Sequence[str] = ()) -> list[Guard]:
    """The patches whose name begins with one of these; all without any."""
    found = [_read(path) for path in sorted(FOLDER.glob("*.patch"))]
    return [guard for guard in found if not names or guard.name.startswith(tuple(names))]


def _read(path: Path) -> Guard:
    test, harm, *lines = path.read_text().splitlines(keepends=True)
    hunks: list[tuple[str, str, str]] = []
    file, before, after = "", "", ""
    for line in [*lines, "@@"]:
        if line.startswith(("---", "@@", "+++")):
            if before or after:
                hunks.append((file, before, after))
            before = after = ""
            if line.startswith("+++"):
                file = line.split()[1].removeprefix("b/")
        else:
            before += line[1:] if line[0] in " -" else ""
            after += line[1:] if line[0] in " +" else ""
    return Guard(path.stem, test.strip(), harm.strip(), tuple(hunks))


@contextmanager
def copied_tree() -> Iterator[Path]:
    """The source and the tests, to be broken."""
    with tempfile.TemporaryDirectory(prefix="pouch-guards-") as folder:
        tree = Path(folder)
        for name in ("src", "tests", "docs"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.patch"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        yield tree


def run(tree: Path, tests: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> int:
    """The exit code of these tests in this tree. One that hangs is ended by pytest's own, shorter limit, and fails."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-p",
        "support.unshrunk",
        *tests,
    ]
    environment = os.environ | {"PYTHONPATH": f"{tree / 'src'}:{tree / 'tests'}", "PYTHONDONTWRITEBYTECODE": "1"}
    with (tree / "output.txt").open("w") as output:
        try:
            answer = subprocess.run(
                command, cwd=tree, env=environment, stdout=output, stderr=output, check=False, timeout=timeout_s
            )
        except subprocess.TimeoutExpired:
            return 3
    return answer.returncode


def verdict(guard: Guard, tree: Path) -> Verdict:
    """Break the tree, run the test, mend the tree."""
    kept = {file: (tree / file).read_text() for file, _, _ in guard.hunks}
    try:
        guard.apply(tree)
        code = run(tree, [guard.test])
    except DoesNotApply:
        return "BROKEN"
    finally:
        for file, text in kept.items():
            (tree / file).write_text(text)
    return {0: "GREEN", 1: "red"}.get(code, "BROKEN")  # type: ignore[return-value]  # the three words above


def main(names: Sequence[str]) -> int:
    """Try the guards of these names, or all, and print a table. 1 when any is not red."""
    chosen = guards(names)
    with copied_tree() as tree:
        print(f"{len(chosen)} guards; first their tests as they are.", flush=True)
        if code := run(tree, sorted({guard.test for guard in chosen}), timeout_s=ALL_TIMEOUT_S):
            print((tree / "output.txt").read_text())
            return code
        failed = 0
        for guard in chosen:
            began = time.monotonic()
            found = verdict(guard, tree)
            failed += found != "red"
            print(f"{found:6} {time.monotonic() - began:5.1f} s  {guard.name:34} {guard.harm}", flush=True)
            if found == "BROKEN":
                print((tree / "output.txt").read_text()[-2000:])
    print(f"{len(chosen) - failed} of {len(chosen)} red.")
    return min(failed, 1)


if __name__ == "__main__":
    if "POUCH_TEST_DATABASE_URL" in os.environ:
        sys.exit(main(sys.argv[1:]))
    with throwaway_postgres() as url:
        os.environ["POUCH_TEST_DATABASE_URL"] = url
        sys.exit(main(sys.argv[1:]))
