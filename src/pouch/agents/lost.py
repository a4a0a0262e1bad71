"""A run whose worker is gone: what is left of its workspace is saved where it lies, and the run ends."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import structlog

from pouch.agents import steps
from pouch.agents.claiming import Taken
from pouch.agents.journal import Journal
from pouch.agents.outcomes import Outcome
from pouch.agents.sandboxes.errors import SaveFailed
from pouch.agents.sandboxes.types import Cloned, GatewayAccess, Notice, RunSpec
from pouch.agents.workshop import Place, Workshop
from pouch.agents.workspace_files import kept_of, note_left_out, result_of
from pouch.base.database import Database

log = structlog.get_logger(__name__)


async def save_lost(database: Database, workshop: Workshop, taken: Taken, place: Place, journal: Journal) -> None:
    """Save and end a run that was charged until its worker was last seen. Raises Fenced when somebody else does."""
    run, claim = taken.run, taken.claim
    outcome = Outcome("canceled", "stopped") if run.wish == "stop" else Outcome("interrupted", "worker_lost")
    # The place has the name of the attempt that was lost, which is the one before this claim.
    spec = RunSpec(name=f"{run.id.hex[-20:]}-{claim.epoch - 1}", gateway=GatewayAccess("http://127.0.0.1", "", ()))
    sandbox = await workshop.adopt(spec, _hear_nothing)
    keeps_workspace = False
    if sandbox is not None:
        with tempfile.TemporaryDirectory(prefix="pouch-save-") as folder:
            try:
                saved = await workshop.save(sandbox, Path(folder), "", run.work_branch, secrets=place.secrets)
            except SaveFailed as error:
                keeps_workspace = True
                journal.note("notice", code=error.code, text=error.message)
            else:
                note_left_out(journal, saved)
                async with database.transaction() as db:
                    await steps.keep_files(db, claim, kept_of(run, saved), result_of(Cloned(saved.base_sha, ""), saved))
    else:
        journal.note("notice", code="work_lost", text=_lost_words(run.result.get("kept_at")))
    await journal.flush()
    async with database.transaction() as db:
        await steps.end(db, claim, outcome.state, outcome.reason)
    if sandbox is not None and not keeps_workspace:
        await sandbox.destroy()


def _lost_words(kept_at: object) -> str:
    if not isinstance(kept_at, str):
        return "Its workspace was lost as well, before any of the work was kept."
    at = datetime.fromisoformat(kept_at).astimezone(UTC)
    return f"Its workspace was lost as well. What it had done until {at:%H:%M:%S} UTC is kept."


def _hear_nothing(_notice: Notice) -> None:
    return
