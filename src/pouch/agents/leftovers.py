"""Work that lies on this machine's disk and is nowhere else: saved when the machine is there again, or can save again.

A run ends without its work when nobody could save it, or when its machine stayed away. The attempt says so (`is_left`).
Nothing of such a place is removed before it was saved: every try makes it young again for the sweep.
"""

import re
import tempfile
from pathlib import Path
from uuid import UUID

import structlog

from pouch.agents.artifacts import keep
from pouch.agents.events import append
from pouch.agents.jobs import PlaceOf
from pouch.agents.journal import Journal
from pouch.agents.keeping import cleaned, fitting
from pouch.agents.redaction import Redaction
from pouch.agents.sandboxes.errors import SandboxFailed, SaveFailed
from pouch.agents.sandboxes.types import Cloned, GatewayAccess, RunSpec, Sandbox
from pouch.agents.steps import write_result
from pouch.agents.store import TABLE, lock_run, read_run
from pouch.agents.types import Run
from pouch.agents.workshop import Place, Workshop
from pouch.agents.workspace_files import kept_of, note_left_out, result_of
from pouch.base.database import Connection, Database
from pouch.base.sealing import CannotOpen
from pouch.jobs.claims import Claim

NAME = re.compile(r"([0-9a-f]{20})-([0-9]+)", re.ASCII)
FOUND = "The machine that ran it could be reached and save again: the work that lay there is kept now."

log = structlog.get_logger(__name__)


class Leftovers:
    """What lies on one machine's disk."""

    def __init__(self, database: Database, workshop: Workshop, place_of: PlaceOf) -> None:
        self._database = database
        self._workshop = workshop
        self._place_of = place_of

    async def save_all(self) -> None:
        """Save what can be saved, and remove it from here. Call it before anything else is swept."""
        for name in await self._workshop.leftovers():
            if found := NAME.fullmatch(name):
                async with self._database.transaction() as db:
                    run = await _whose(db, found[1], int(found[2]))
                if run is not None:
                    await self._save(run, int(found[2]), name)

    async def _save(self, run: Run, epoch: int, name: str) -> None:
        try:
            async with self._database.transaction() as db:
                place = await self._place_of(db, run)
        except CannotOpen:
            place = Place()
        is_saved = False
        sandbox: Sandbox | None = None
        try:
            spec = RunSpec(name, GatewayAccess("http://127.0.0.1", "", ()))
            sandbox = await self._workshop.adopt(spec, lambda _: None)
            if sandbox is not None:
                is_saved = await self._keep(run, epoch, sandbox, place)
        except (SaveFailed, SandboxFailed) as error:
            log.warning("agent_work_still_left", run=run.shown_id, sandbox=name, error=error.message[:200])
        finally:
            if sandbox is not None:
                await (sandbox.destroy() if is_saved else sandbox.leave())

    async def _keep(self, run: Run, epoch: int, sandbox: Sandbox, place: Place) -> bool:
        """Whether it is kept; not when a worker has taken the run up meanwhile."""
        journal = Journal(self._database, Claim(TABLE, run.id, epoch, 0), Redaction(place.secrets))
        journal.note("notice", code="work_found", text=FOUND)
        with tempfile.TemporaryDirectory(prefix="pouch-save-") as folder:
            saved = await self._workshop.save(sandbox, Path(folder), "", run.work_branch, secrets=place.secrets)
            files = await cleaned(fitting(kept_of(run, saved), journal.note), journal)
            note_left_out(journal.note, saved)
            async with self._database.transaction() as db:
                found = await lock_run(db, run.id)
                if found is None or found[0].is_live:
                    return False
                is_last = await _is_last(db, run.id, epoch)
                for each in files:
                    # A later attempt went on without it: it lies beside that one's work, under a name of its own.
                    kept_as = each.name if is_last else f"attempt-{epoch}-{each.name}"
                    await keep(db, run.id, found[0].epoch if is_last else epoch, each.kind, kept_as, each.content)
                if is_last:
                    await write_result(db, run.id, result_of(Cloned(saved.base_sha, ""), saved), found[1])
                await append(db, run.id, await journal.take())
                await db.execute(
                    "UPDATE agent_run_attempts SET is_left = false WHERE run_id = %s AND epoch = %s", (run.id, epoch)
                )
        return True


async def _whose(db: Connection, ending: str, epoch: int) -> Run | None:
    """The run that left its work in a place, unless a worker is at it or nobody wants it any more."""
    rows = await db.execute(
        """
        SELECT r.id FROM agent_run_attempts AS a JOIN agent_runs AS r ON r.id = a.run_id
         WHERE a.is_left AND a.epoch = %s AND right(replace(r.id::text, '-', ''), 20) = %s
           AND r.lease_until IS NULL AND r.forgotten_at IS NULL
        """,
        (epoch, ending),
    )
    row = await rows.fetchone()
    return None if row is None else await read_run(db, row[0])


async def _is_last(db: Connection, run_id: UUID, epoch: int) -> bool:
    rows = await db.execute("SELECT max(epoch) = %s FROM agent_run_attempts WHERE run_id = %s", (epoch, run_id))
    row = await rows.fetchone()
    return bool(row and row[0])
