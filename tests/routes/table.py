"""The tables of docs/access.md: their rows are the cases of the matrix, their cells are what must come out."""

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "access.md"
VISITORS = ("anonymous", "unverified", "member", "other", "operator")
"""The columns, from the left. `member` is whose the thing in the address is."""


@dataclass(frozen=True, slots=True)
class Case:
    """One method of one address, as the application's routes name it."""

    method: str
    path: str
    opened_by: str
    answers: tuple[str, ...]
    """What each of the visitors gets."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def cases() -> list[Case]:
    """Every method of every address in the tables."""
    return [case for line in PAGE.read_text().splitlines() if line.startswith("| `") for case in _cases(line)]


def _cases(line: str) -> list[Case]:
    addresses, methods, opened_by, *answers = (cell.strip() for cell in line.strip().strip("|").split("|"))
    assert len(answers) == len(VISITORS), line
    paths = re.findall(r"`([^`]+)`", addresses)
    return [Case(method.strip(), path, opened_by, tuple(answers)) for path in paths for method in methods.split(",")]
