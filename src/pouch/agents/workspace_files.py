"""Between a workspace and what is kept of it: the files an attempt goes on from, and those it leaves."""

from collections.abc import Sequence
from pathlib import Path

from pouch.agents.artifacts import ArtifactKind, content_of, newest
from pouch.agents.journal import Note
from pouch.agents.sandboxes.types import Cloned, Saved
from pouch.agents.steps import Kept
from pouch.agents.types import Run
from pouch.agents.workshop import Before
from pouch.base.database import Database

FILES_LISTED_MAX = 500
COMMITS_LISTED_MAX = 100
NAMED_MAX = 10


async def before_of(database: Database, run: Run, folder: Path) -> Before:
    """Write what earlier attempts left into a folder."""
    base_sha = run.result.get("base_sha")
    return Before(
        bundle=await _written(database, run, "bundle", folder / "work.bundle"),
        session=await _written(database, run, "transcript", folder / "session"),
        base_sha=base_sha if isinstance(base_sha, str) else "",
        branch=run.work_branch,
    )


def kept_of(run: Run, saved: Saved) -> list[Kept]:
    """What is kept of a saved workspace."""
    files: list[tuple[ArtifactKind, str, Path | None]] = [
        ("patch", f"run-{run.number}.patch", saved.patch),
        ("bundle", f"run-{run.number}.bundle", saved.bundle),
        ("transcript", f"run-{run.number}-session", saved.session),
    ]
    return [Kept(kind, name, path) for kind, name, path in files if path is not None]


def result_of(cloned: Cloned, saved: Saved) -> dict[str, object]:
    """What the run came to, as git saw it."""
    return {
        "base_sha": cloned.base_sha,
        "head_sha": saved.head_sha,
        "branch": saved.branch,
        "files": [
            {"path": each.path, "added": each.added, "removed": each.removed, "is_binary": each.is_binary}
            for each in saved.files[:FILES_LISTED_MAX]
        ],
        "files_changed": len(saved.files),
        "lines_added": sum(each.added for each in saved.files),
        "lines_removed": sum(each.removed for each in saved.files),
        "commits": [{"sha": each.sha, "subject": each.subject[:200]} for each in saved.commits[:COMMITS_LISTED_MAX]],
        "was_unfinished": saved.was_unfinished,
    }


def note_left_out(note: Note, saved: Saved) -> None:
    """Say what of the workspace is not kept, and why."""
    if saved.withheld:
        text = f"Not kept, for a secret of the environment is in it: {_listed(saved.withheld)}."
        note("notice", code="secret_withheld", text=text)
    if saved.branches:
        note("notice", code="not_kept", text=f"Not kept, for they are other branches: {_listed(saved.branches)}.")
    if saved.nested:
        text = f"Not kept, for they are repositories of their own inside of this one: {_listed(saved.nested)}."
        note("notice", code="not_kept", text=text)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED_MAX
    return ", ".join(name[:200] for name in names[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


async def _written(database: Database, run: Run, kind: ArtifactKind, path: Path) -> Path | None:
    async with database.transaction() as db:
        found = await newest(db, run.id, kind)
    if found is None:
        return None
    with path.open("wb") as file:
        async for part in content_of(database, found):
            file.write(part)
    # Whoever the sandbox runs as reads it.
    path.chmod(0o644)
    return path
