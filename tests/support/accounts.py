"""Running a part of a test as another account of the machine."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

NOBODY = 65534
STRANGER = 23456
"""A number without an entry in the password file, as containers are often given."""
PYTHONS = (
    sys.executable,
    f"/usr/bin/python3.{sys.version_info.minor}",
    f"/usr/local/bin/python3.{sys.version_info.minor}",
)
SOURCES = (str(Path(__file__).parents[2] / "src"), sysconfig.get_path("purelib"))


def run_as(uid: int, program: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a Python file as another account: its code and what it said. Skips the test where that is not possible."""
    if os.geteuid() != 0:
        pytest.skip("only for root: becomes another account")
    python = next((each for each in PYTHONS if _run(uid, [each, "-c", "import pouch.settings"])[0] == 0), None)
    if python is None:
        pytest.skip("only where other accounts may read Python and the source")
    return _run(uid, [python, "-P", str(program), *arguments], environment or {})


def _run(uid: int, command: list[str], environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    try:
        answer = subprocess.run(
            command,
            user=uid,
            group=uid,
            extra_groups=[],
            cwd="/",
            env={"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(SOURCES), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except PermissionError:
        return 126, ""
    return answer.returncode, answer.stdout
