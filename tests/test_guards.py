"""Every protection of money has a test that notices when it is gone. `bin/guards` shows them all."""

import subprocess
from pathlib import Path

import pytest

from support.guards import ROOT, Guard, copied_tree, guards, verdict

QUICK = ("cost-rounded-up", "money-cents", "bound-bytes")
GUARDS = guards()


def named(guard: Guard) -> str:
    return guard.name


@pytest.mark.parametrize("guard", GUARDS, ids=named)
def test_a_guard_still_applies_and_names_a_test_that_is_there(guard: Guard, tmp_path: Path) -> None:
    for file, _, _ in guard.hunks:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text((ROOT / file).read_text())
    guard.apply(tmp_path)
    for file, _, _ in guard.hunks:
        compile((tmp_path / file).read_text(), file, "exec")
    file, _, test = guard.test.partition("::")
    assert f"def {test.partition('[')[0]}" in (ROOT / file).read_text()
    assert guard.harm.endswith(".")


@pytest.mark.parametrize("guard", guards(QUICK), ids=named)
def test_a_quick_guard_goes_red(guard: Guard) -> None:
    with copied_tree() as tree:
        assert verdict(guard, tree) == "red"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_guard_goes_red(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POUCH_TEST_DATABASE_URL", postgres_url)
    answer = subprocess.run([ROOT / "bin" / "guards"], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout
