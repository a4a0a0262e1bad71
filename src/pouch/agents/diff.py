"""A patch as a page shows it: files, stretches, lines with their numbers."""

import re
from dataclasses import dataclass, field

LINES_MAX = 3_000
"""More than these are in the patch to download."""
_STRETCH = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@ ?(.*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `sign` is "+", "-", " " or "@" for the head of a stretch."""

    sign: str
    text: str
    old: int | None = None
    new: int | None = None


@dataclass(slots=True)
class FileDiff:
    """The changes of one file."""

    path: str
    added: int = 0
    removed: int = 0
    lines: list[Line] = field(default_factory=list)


def read_patch(patch: str) -> tuple[list[FileDiff], bool]:
    """The files of a patch as git writes it, and whether some of it was left out."""
    files: list[FileDiff] = []
    old = new = shown = 0
    for text in patch.splitlines():
        if text.startswith("diff --git "):
            files.append(FileDiff(text.rpartition(" b/")[2]))
            old = 0
            continue
        if not files:
            continue
        file = files[-1]
        if found := _STRETCH.match(text):
            old, new = int(found[1]), int(found[2])
            file.lines.append(Line("@", f"Line {new}{', ' if found[3] else ''}{found[3]}"))
        elif old == 0 or text[:1] not in {"+", "-", " "}:
            continue
        elif text[0] == "+":
            file.added += 1
            file.lines.append(Line("+", text[1:], None, new))
            new += 1
        elif text[0] == "-":
            file.removed += 1
            file.lines.append(Line("-", text[1:], old, None))
            old += 1
        else:
            file.lines.append(Line(" ", text[1:], old, new))
            old, new = old + 1, new + 1
        shown += 1
        if shown >= LINES_MAX:
            return files, True
    return files, False
