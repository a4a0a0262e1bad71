"""Keeping an attempt's work: now and then while it runs, so that a lost machine costs little, and whole at its end."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from pouch.agents import steps
from pouch.agents.artifacts import ARTIFACT_BYTES_MAX
from pouch.agents.grip import Grip
from pouch.agents.journal import Journal, Note
from pouch.agents.sandboxes.errors import SaveFailed, WorkTooLarge
from pouch.agents.sandboxes.types import Cloned, Sandbox, Saved
from pouch.agents.steps import Kept
from pouch.agents.types import Run
from pouch.agents.workshop import Workshop
from pouch.agents.workspace_files import kept_of, result_of

log = structlog.get_logger(__name__)


class Keeper:
    """The work of one sandbox. Files and figures are written in one transaction, the last ones over those before."""

    def __init__(  # noqa: PLR0913, PLR0917 -- a worker's hold on a run, and what it works with
        self,
        grip: Grip,
        journal: Journal,
        workshop: Workshop,
        run: Run,
        sandbox: Sandbox,
        cloned: Cloned,
        *,
        secrets: Sequence[str],
    ) -> None:
        self._grip = grip
        self._journal = journal
        self._workshop = workshop
        self._run = run
        self._sandbox = sandbox
        self._cloned = cloned
        self._secrets = secrets
        self._keeping: asyncio.Task[None] | None = None

    def begin(self, every_s: float) -> None:
        """Keep the work every so often from now on, while the agent works. `cease` before its programs are stopped."""
        keeping = self._now_and_then(every_s)
        self._keeping = asyncio.get_running_loop().create_task(keeping, name=f"checkpoints of run {self._run.number}")

    async def cease(self) -> None:
        """Stop that. Repeats safely."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def save(self) -> Saved:
        """Keep everything as it is now. Raises SaveFailed, Fenced."""
        with tempfile.TemporaryDirectory(prefix="pouch-save-") as folder:
            base, branch = self._cloned.base_sha, self._run.work_branch
            saved = await self._workshop.save(self._sandbox, Path(folder), base, branch, secrets=self._secrets)
            files = await cleaned(fitting(kept_of(self._run, saved), self._journal.note), self._journal)
            result = result_of(self._cloned, saved)
            await self._grip.step(lambda db, claim: steps.keep_files(db, claim, files, result))
        return saved

    async def _now_and_then(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            try:
                saved = await self.save()
            except SaveFailed as error:
                # The next one may succeed, and the last one decides.
                log.warning("agent_not_kept", run=self._run.shown_id, error=error.message[:200])
            else:
                self._journal.note("git", action="kept", sha=saved.head_sha, files=len(saved.files))


async def cleaned(files: list[Kept], journal: Journal) -> list[Kept]:
    """The same, the conversation without secrets: it is kept as long as the timeline, and shown to as many.

    Bundle and patch have none: saving leaves out what holds one.
    """
    return [
        replace(each, content=await asyncio.to_thread(_cleaned, each.content, journal))
        if each.kind == "transcript"
        else each
        for each in files
    ]


def _cleaned(content: Path | bytes, journal: Journal) -> bytes:
    return journal.clean(content if isinstance(content, bytes) else content.read_bytes())


def fitting(files: list[Kept], note: Note) -> list[Kept]:
    """What of them can be kept; the rest is said. Raises SaveFailed when the work itself cannot."""
    large = [each for each in files if each.size > ARTIFACT_BYTES_MAX]
    if any(each.kind == "bundle" for each in large):
        raise WorkTooLarge("The work is larger than is kept here; it is still on the machine that ran it.")
    for each in large:
        note("notice", code="too_large", text=f"{each.name} is larger than is kept here.")
    return [each for each in files if each not in large]
