"""What a repository says to agents: AGENTS.md and Roo Code's rules."""

from collections.abc import Iterator
from pathlib import Path

BYTES_MAX = 48 * 1024
ROO_MODES = {"planner": "architect", "explainer": "ask", "reviewer": "ask", "coder": "code", "fixer": "code"}


def repository_rules(work: Path, kind: str) -> str:
    """Everything that applies to this kind of agent, each file under its name, cut where it is too long."""
    parts: list[str] = []
    left = BYTES_MAX
    for file in _files(work, ROO_MODES.get(kind, "code")):
        try:
            with file.open("rb") as opened:
                text = opened.read(left).decode(errors="replace").strip()
        except OSError:
            continue
        if text:
            parts.append(f"## {file.relative_to(work)}\n{text}")
            left -= len(text.encode())
        if left <= 0:
            break
    return "\n\n".join(parts)


def _files(work: Path, mode: str) -> Iterator[Path]:
    for name in ("AGENTS.md", "AGENT.md"):
        if (work / name).is_file():
            yield work / name
            break
    for folder, single in ((f"rules-{mode}", f".roorules-{mode}"), ("rules", ".roorules")):
        found = sorted(file for file in (work / ".roo" / folder).rglob("*") if file.is_file())
        # Roo Code reads the single file only where there is no folder.
        yield from found or [work / single]
