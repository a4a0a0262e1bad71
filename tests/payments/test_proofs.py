"""docs/payment-proofs.md is true: its tests and guards are there, and each guard breaks a test of its own row."""

import re
from dataclasses import dataclass

import pytest

from support.guards import FOLDER, ROOT

PAGE = (ROOT / "docs" / "payment-proofs.md").read_text()
_QUOTED = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Row:
    """What is said, and what is named for it. A test without a file is in the file of the one before."""

    said: str
    tests: list[str]
    guards: list[str]


def _row(line: str) -> Row:
    *said, tests, guards = [cell.strip() for cell in line.strip("|").split("|")]
    named: list[str] = []
    for test in _QUOTED.findall(tests):
        named.append(f"{named[-1].partition('::')[0]}{test}" if test.startswith("::") else test)
    return Row(" ".join(said), named, _QUOTED.findall(guards))


ROWS = [_row(line) for line in PAGE.splitlines() if line.startswith("|") and "`tests/" in line]


def test_all_fifteen_stories_have_a_test_named_after_them_and_a_guard() -> None:
    for number in range(1, 16):
        (row,) = [row for row in ROWS if row.said.startswith(f"{number} ")]
        assert any(re.search(rf"::test_story_0?{number}_", test) for test in row.tests), row.said
        assert row.guards, row.said


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.said[:60])
def test_each_row_names_tests_and_guards_that_are_there(row: Row) -> None:
    for test in row.tests:
        file, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / file).read_text(), test
    for guard in row.guards:
        turned_red = (FOLDER / f"{guard}.patch").read_text().partition("\n")[0]
        assert turned_red in row.tests, f"{guard} turns {turned_red} red"
