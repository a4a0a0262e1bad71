"""A run whose worker is gone: what is left of its workspace is saved where it lies, and the run ends.

Saving may take longer than a lease, so it beats like an attempt. Whoever loses the claim, or cannot save, leaves the
place as it is for the next who comes.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from pouch.agents import steps
from pouch.agents.claiming import Taken
from pouch.agents.grip import Grip
from pouch.agents.journal import Journal
from pouch.agents.keeping import cleaned, fitting
from pouch.agents.outcomes import Outcome
from pouch.agents.pulse import Pulse
from pouch.agents.sandboxes.errors import PlaceInUse, SandboxFailed, SaveFailed, WorkTooLarge
from pouch.agents.sandboxes.types import Cloned, GatewayAccess, Notice, RunSpec, Sandbox
from pouch.agents.types import Run
from pouch.agents.workshop import Place, Workshop
from pouch.agents.workspace_files import kept_of, note_left_out, result_of
from pouch.base.database import Database

log = structlog.get_logger(__name__)


async def save_lost(database: Database, workshop: Workshop, taken: Taken, place: Place, journal: Journal) -> None:
    """Save and end a run that was charged until its worker was last seen. Raises Fenced when somebody else does."""
    grip = Grip(database, taken.claim)
    pulse = Pulse(grip, taken.run)
    loop = asyncio.get_running_loop()
    beating = loop.create_task(pulse.run(), name=f"pulse of lost run {taken.run.number}")

    async def cease() -> None:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)

    course = _save(grip, workshop, taken.run, place, journal, cease)
    saving = loop.create_task(course, name=f"lost run {taken.run.number}")
    try:
        while not await pulse.until_over(saving):
            # What its person wishes now is what happens anyway.
            pass
        saving.result()
    finally:
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)
        await cease()


async def _save(  # noqa: PLR0913, PLR0917 -- what is saved, from where, and for whom
    grip: Grip, workshop: Workshop, run: Run, place: Place, journal: Journal, cease: Callable[[], Awaitable[None]]
) -> None:
    outcome = Outcome("canceled", "stopped") if run.wish == "stop" else Outcome("interrupted", "worker_lost")
    # The place has the name of the attempt that was lost. Those who took the run to save it made none.
    last = await grip.step(steps.last_attempt)
    spec = RunSpec(name=f"{run.id.hex[-20:]}-{last.epoch}", gateway=GatewayAccess("http://127.0.0.1", "", ()))
    is_over = keeps_workspace = False
    sandbox: Sandbox | None = None
    try:
        try:
            sandbox = await workshop.adopt(spec, _hear_nothing)
            if sandbox is None and last.disk not in {"", workshop.disk}:
                await grip.step(steps.leave_work)
                journal.note("notice", code="work_away", text=_away_words(run.result.get("kept_at")))
            elif sandbox is None:
                journal.note("notice", code="work_lost", text=_lost_words(run.result.get("kept_at")))
            else:
                await _keep(grip, workshop, run, sandbox, place, journal)
        except PlaceInUse:
            # A worker that lost its claim, and has not let go yet: the run is due again when this claim is over.
            return
        except (SaveFailed, SandboxFailed) as error:
            keeps_workspace = True
            if not isinstance(error, WorkTooLarge):
                await grip.step(steps.leave_work)
            journal.note("notice", code=error.code, text=error.message)
        await journal.flush()
        # A beat that came after the end would take it for somebody else's.
        await cease()
        await grip.step(lambda db, claim: steps.end(db, claim, outcome.state, outcome.reason))
        is_over = True
    finally:
        if sandbox is not None:
            await _let_go(sandbox, run, is_saved=is_over and not keeps_workspace)


async def _keep(  # noqa: PLR0913, PLR0917 -- what is saved, from where, and for whom
    grip: Grip, workshop: Workshop, run: Run, sandbox: Sandbox, place: Place, journal: Journal
) -> None:
    with tempfile.TemporaryDirectory(prefix="pouch-save-") as folder:
        saved = await workshop.save(sandbox, Path(folder), "", run.work_branch, secrets=place.secrets)
        files = await cleaned(fitting(kept_of(run, saved), journal.note), journal)
        result = result_of(Cloned(saved.base_sha, ""), saved)
        await grip.step(lambda db, claim: steps.keep_files(db, claim, files, result))
    note_left_out(journal.note, saved)


async def _let_go(sandbox: Sandbox, run: Run, *, is_saved: bool) -> None:
    try:
        await (sandbox.destroy() if is_saved else sandbox.leave())
    except (OSError, SandboxFailed, TimeoutError) as error:
        # Whoever sweeps this machine finds what is left.
        log.warning("sandbox_left_behind", run=run.shown_id, error=type(error).__name__)


def _lost_words(kept_at: object) -> str:
    if not isinstance(kept_at, str):
        return "Its workspace was lost as well, before any of the work was kept."
    return f"Its workspace was lost as well. {_kept_words(kept_at)}"


def _away_words(kept_at: object) -> str:
    away = "Its workspace lies on a machine that is away. If that comes back, the work is kept then and said here."
    return f"{away} {_kept_words(kept_at)}" if isinstance(kept_at, str) else away


def _kept_words(kept_at: str) -> str:
    at = datetime.fromisoformat(kept_at).astimezone(UTC)
    return f"What it had done until {at:%H:%M:%S} UTC is kept."


def _hear_nothing(_notice: Notice) -> None:
    return
