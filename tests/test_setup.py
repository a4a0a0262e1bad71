"""bin/setup on machines that lack something: one line says what, and nothing is left behind."""

import shutil
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[1] / "bin" / "setup"
OLD = """#!/bin/sh
case $* in -V) echo "Python 3.9.2" ;; *) exit 1 ;; esac
"""
WITHOUT_VENV = """#!/bin/sh
case $* in *venv*) exit 1 ;; esac
"""


@pytest.mark.parametrize(
    ("python", "says"),
    [
        (None, "Pouch needs Python 3.11 or newer, and there is no python3 on the PATH.\n"),
        (OLD, "Pouch needs Python 3.11 or newer; {python} is Python 3.9.2.\n"),
        (
            WITHOUT_VENV,
            "Pouch needs Python's venv and pip, which {python} lacks. On Debian and Ubuntu: apt install python3-venv\n",
        ),
    ],
)
@pytest.mark.parametrize("command", ["setup", "run"])
def test_what_a_machine_lacks_is_named_in_one_line(tmp_path: Path, python: str | None, says: str, command: str) -> None:
    """A clone in a folder with a space, and a PATH with nothing on it but what the script itself needs."""
    clone, path = tmp_path / "a clone", tmp_path / "path"
    (clone / "bin").mkdir(parents=True)
    for name in ("setup", "setup.py", "run"):
        shutil.copy(SETUP.with_name(name), clone / "bin" / name)
    path.mkdir()
    dirname = shutil.which("dirname")
    assert dirname
    (path / "dirname").symlink_to(dirname)
    if python is not None:
        (path / "python3").write_text(python)
        (path / "python3").chmod(0o755)
    ran = subprocess.run(
        [clone / "bin" / command], env={"PATH": str(path)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == says.format(python=path / "python3")
    assert [each.name for each in clone.iterdir()] == ["bin"]
