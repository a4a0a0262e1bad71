"""The tables of docs/faults.md: their rows are the cases of these tests, their cells are what must come out."""

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"


@dataclass(frozen=True, slots=True)
class Row:
    """One fault and the rule for it."""

    fault: str
    asked: str
    """`whole` or `stream`."""
    gets: str
    charged: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.fault}, {self.asked}"


def rows_under(heading: str) -> list[Row]:
    """The rows of the table below a heading."""
    _, _, section = PAGE.read_text().partition(f"## {heading}\n")
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    return [Row(*row) for row in cells]
