"""What every command has in common: help at once, one clear line for what cannot be, codes that scripts can use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def pouch(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POUCH_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "pouch.cli", *arguments],
        env=kept | {"POUCH_DATA_DIR": str(folder / "data"), "POUCH_CONFIG": str(folder / "pouch.toml")} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["up", "serve", "work", "migrate"])
def test_help_shows_an_example(command: str, tmp_path: Path) -> None:
    answer = pouch(command, "--help", folder=tmp_path)
    assert answer.returncode == 0
    assert f"pouch {command}" in answer.stdout.split("For example:")[1]


def test_an_unknown_command_is_a_usage_error(tmp_path: Path) -> None:
    assert pouch("fly", folder=tmp_path).returncode == 2


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"POUCH_PORT": "many"}, "POUCH_PORT: Input should be a valid integer"),
        ({"POUCH_PUBLIC_URL": "http://pouch.example"}, "plain http is only for this machine"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(environment: dict[str, str], line: str, tmp_path: Path) -> None:
    answer = pouch("up", folder=tmp_path, **environment)
    assert answer.returncode == 2
    assert line in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_mistake_in_the_file_names_file_and_place(tmp_path: Path) -> None:
    (tmp_path / "pouch.toml").write_text("[credits]\npurchase_min_usd = 5.00\n")
    answer = pouch("migrate", folder=tmp_path)
    assert answer.returncode == 2
    assert "pouch.toml: credits.purchase_min_usd:" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_database_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    """Nothing listens on port 1."""
    answer = pouch("migrate", folder=tmp_path, POUCH_DATABASE_URL="postgresql://pouch:secret@127.0.0.1:1/pouch")
    assert answer.returncode == 1
    assert "POUCH_DATABASE_URL" in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert "secret" not in answer.stderr


def test_migrating_twice_changes_nothing_the_second_time(database_url: str, tmp_path: Path) -> None:
    answers = [pouch("migrate", folder=tmp_path, POUCH_DATABASE_URL=database_url) for _ in range(2)]
    assert [answer.returncode for answer in answers] == [0, 0]
    assert answers[1].stdout == "The database is up to date.\n"
