"""Wherever a fresh machine keeps Pouch's data, Postgres has a way to run, or one line says that it has not."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pouch.embedded.postgres.ways import STATE
from support.accounts import NOBODY, STRANGER, run_as
from support.postgres import quick_folder

PROGRAM = Path(__file__).with_name("start_once.py")
LONG = "a-folder-name-of-forty-five-letters-in-a-row-"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only for root: Postgres refuses to run as root")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may pass through, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="pouch-test-", dir=quick_folder()) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def start(data_dir: Path, *, path: str = os.environ["PATH"]) -> str:
    """Start a server in a process of its own, with this PATH; what it said."""
    command = [sys.executable, "-P", str(PROGRAM), str(data_dir)]
    return subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"PATH": path}
    ).stdout


@as_root
def test_root_in_an_open_folder_becomes_an_unprivileged_account(open_folder: Path) -> None:
    said = start(open_folder / ".pouch")
    assert "runs as the account" in said
    assert (open_folder / ".pouch/postgres").stat().st_uid != 0


@as_root
def test_root_in_a_private_folder_uses_a_user_namespace(open_folder: Path) -> None:
    """Root's home, or a temporary folder of root's: no other account may enter, and nobody opens it to them."""
    open_folder.chmod(0o700)
    said = [start(open_folder / ".pouch") for _ in range(2)]
    assert "runs in a user namespace" in said[0]
    assert "starts: 2" in said[1]
    assert open_folder.stat().st_mode & 0o777 == 0o700


@as_root
def test_root_without_user_namespaces_uses_the_state_folder(open_folder: Path) -> None:
    open_folder.chmod(0o700)
    try:
        said = [start(open_folder / ".pouch", path="") for _ in range(2)]
        assert f"in {STATE}" in said[0]
        assert "it cannot enter" in said[0]
        assert "starts: 2" in said[1]
    finally:
        link = open_folder / ".pouch/postgres"
        if link.is_symlink():
            shutil.rmtree(link.resolve().parent)
            if not any(STATE.iterdir()):
                STATE.rmdir()


def test_a_long_path_with_spaces_is_a_path(open_folder: Path) -> None:
    """The address of a socket ends at 107 bytes; the data may lie deeper."""
    data_dir = open_folder / "with a space" / LONG / LONG / LONG / ".pouch"
    data_dir.parent.mkdir(parents=True)
    assert "starts: 1" in start(data_dir)


def test_an_ordinary_user_runs_it_as_himself(open_folder: Path) -> None:
    open_folder.chmod(0o777)
    code, said = run_as(NOBODY, PROGRAM, str(open_folder / ".pouch"))
    assert (code, said) == (0, "Postgres runs as we do.\nstarts: 1\n")


def test_a_user_without_a_name_runs_it_in_a_user_namespace(open_folder: Path) -> None:
    """docker run --user 23456."""
    open_folder.chmod(0o777)
    said = [run_as(STRANGER, PROGRAM, str(open_folder / ".pouch")) for _ in range(2)]
    assert "runs in a user namespace" in said[0][1]
    assert "starts: 2" in said[1][1]


def test_where_it_cannot_run_one_line_names_the_way_out(open_folder: Path) -> None:
    """A user without a name, and no user namespaces."""
    open_folder.chmod(0o777)
    code, said = run_as(STRANGER, PROGRAM, str(open_folder / ".pouch"), environment={"PATH": ""})
    assert code == 1
    assert said.count("\n") == 1
    assert "cannot run: user 23456" in said
    assert "POUCH_DATABASE_URL" in said


def test_a_folder_of_another_account_is_refused_in_one_line(open_folder: Path) -> None:
    assert start(open_folder / ".pouch")
    code, said = run_as(NOBODY, PROGRAM, str(open_folder / ".pouch"))
    assert code == 1
    assert said.count("\n") == 1
    assert "belongs to another account" in said
