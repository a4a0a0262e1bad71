"""One attempt at a run: prepare (free), set up (free), run (billed), save (free), end.

Two things go on at once: the course of the attempt, here and in `turns`, and the pulse (`pulse`). Whoever loses the
claim kills its agent and writes nothing more.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import structlog

from pouch.agents import steps
from pouch.agents.claiming import Taken
from pouch.agents.deploy_keys import note_hosts
from pouch.agents.errors import Fenced
from pouch.agents.grip import Grip
from pouch.agents.journal import Journal
from pouch.agents.keeping import Keeper
from pouch.agents.kinds import may_write
from pouch.agents.outcomes import Ended, Outcome
from pouch.agents.pulse import Pulse
from pouch.agents.sandboxes.errors import (
    CloneFailed,
    HostUnknown,
    SandboxFailed,
    SandboxUnsafe,
    SaveFailed,
    SourceRefused,
    WorkTooLarge,
)
from pouch.agents.sandboxes.types import Egress, GatewayAccess, Notice, Repository, RunSpec, Sandbox, Saved
from pouch.agents.set_up import layer_of, set_up_once
from pouch.agents.turns import STOP_GRACE_S, Turns
from pouch.agents.workshop import Place, SetupFailed, Workshop
from pouch.agents.workspace_files import before_of, note_left_out
from pouch.base.database import Database

PREPARE_TIMEOUT_S = 120
FETCH_MAX_S = 120
"""How long fetching a repository may take, with all its branches, where the operator says nothing else."""
SETUP_TIMEOUT_S = 600
KEEP_EVERY_S = 180
"""A machine that is lost takes at most the work of so long with it."""

log = structlog.get_logger(__name__)


class Attempt:
    """Works on one run that was taken, until it is over or rests."""

    def __init__(  # noqa: PLR0913 -- what it works on, and what it works with
        self,
        database: Database,
        workshop: Workshop,
        taken: Taken,
        place: Place,
        journal: Journal,
        *,
        keep_every_s: float = KEEP_EVERY_S,
        fetch_max_s: float = FETCH_MAX_S,
    ) -> None:
        self._database = database
        self._workshop = workshop
        self._taken = taken
        self._run = taken.run
        self._place = place
        self._journal = journal
        self._keep_every_s = keep_every_s
        self._fetch_max_s = fetch_max_s
        self._grip = Grip(database, taken.claim)
        self.pulse = Pulse(self._grip, taken.run)
        self._sandbox: Sandbox | None = None
        self._turns: Turns | None = None
        self._keeper: Keeper | None = None
        self._has_talk = False
        self._is_let_go = False
        """Whether the workspace may go: what it held is kept, or was nothing."""

    async def work(self, gateway_url: str) -> None:
        """Do it. Returns when the run is over, rests, or is somebody else's."""
        loop = asyncio.get_running_loop()
        beating = loop.create_task(self.pulse.run(), name=f"pulse of run {self._run.number}")
        writing = loop.create_task(self._journal.run(), name=f"journal of run {self._run.number}")
        # A fault of ours ends the run and saves its work like everything else, and then goes on to the lane's log.
        outcome: Outcome | None = Outcome("failed", "internal_error")
        try:
            try:
                outcome = await self._course(gateway_url)
            except (Fenced, asyncio.CancelledError):
                outcome = None
                raise
            finally:
                if outcome is not None:
                    await self._finish(outcome)
        except Fenced:
            # Whoever has the run now saves what lies in its place.
            log.warning("agent_fenced", run=self._run.shown_id)
        finally:
            beating.cancel()
            self._journal.close()
            await self._clean_up()
            await asyncio.gather(beating, writing, return_exceptions=True)

    async def _course(self, gateway_url: str) -> Outcome:
        try:
            turns = await self._prepare(gateway_url)
            engine = self._workshop.engine(self._run.engine)
            if engine is None:
                text = f"The engine {self._run.engine} is not installed here."
                self._journal.note("notice", code="engine_failed", text=text)
                return Outcome("failed", "engine_failed")
            return await turns.work(engine, resumes=self._taken.after == "resume" and self._has_talk)
        except Ended as ended:
            return ended.outcome
        except (SourceRefused, CloneFailed, SandboxUnsafe, SandboxFailed) as error:
            if isinstance(error, HostUnknown):
                await self._note_hosts(error.lines)
            self._journal.note("notice", code=error.code, text=error.message)
            return Outcome("failed", error.code)
        except TimeoutError:
            return Outcome("failed", "start_timeout")
        except SetupFailed:
            return Outcome("failed", "setup_failed")

    async def _prepare(self, gateway_url: str) -> Turns:
        run, pulse = self._run, self.pulse
        preparing = self._workshop.prepare(self._spec(gateway_url), self._on_notice)
        self._sandbox = sandbox = await pulse.unless_ended(preparing, PREPARE_TIMEOUT_S)
        with tempfile.TemporaryDirectory(prefix="pouch-run-") as folder:
            before = await self._grip.again(lambda: before_of(self._database, run, Path(folder)))
            self._has_talk = before.session is not None
            # What the sandbox copies from must be readable for whoever it runs as.
            Path(folder).chmod(0o755)
            place = self._place
            repository = Repository(run.repository, run.branch, password=place.password, ssh=place.ssh)
            fetching = self._workshop.fetch(sandbox, repository, run.work_branch, before)
            try:
                cloned = await pulse.unless_ended(fetching, self._fetch_max_s)
            except TimeoutError:
                text = f"The repository was not fetched within {self._fetch_max_s:g} seconds, as long as it may take."
                self._journal.note("notice", code="start_timeout", text=text)
                raise
        grip, journal, workshop = self._grip, self._journal, self._workshop
        self._keeper = keeper = Keeper(
            grip, journal, workshop, run, sandbox, cloned, secrets=(self._taken.secret, *place.secrets)
        )
        every_s = self._keep_every_s
        self._turns = Turns(grip, pulse, journal, workshop, sandbox, keeper, run, keep_every_s=every_s)
        if self._place.commands:
            await grip.step(lambda db, claim: steps.enter(db, claim, "setup"))
            # What a set-up made fits what it was made for, and not the branch that an earlier attempt left.
            layer = layer_of(run, self._place, cloned) if before.bundle is None else None
            setting_up = set_up_once(workshop, sandbox, self._place.commands, layer, journal)
            await pulse.unless_ended(setting_up, SETUP_TIMEOUT_S)
        return self._turns

    async def _note_hosts(self, lines: Sequence[str]) -> None:
        """Let the run's person look at what a host showed."""
        environment_id = self._run.environment_id
        if environment_id is not None:
            await self._grip.step(lambda db, _: note_hosts(db, environment_id, lines))

    async def _finish(self, outcome: Outcome) -> None:
        """Stop the meter, save, and only then let the workspace go."""
        if outcome.state == "paused_no_credit" and not outcome.reason:
            budget = await self._grip.step(lambda db, _: steps.tightest_budget(db, self._run))
            outcome = Outcome(outcome.state, budget)
        if self.pulse.is_fenced:
            raise Fenced
        if self._sandbox is not None and self._turns is not None and self._keeper is not None:
            await self._turns.stop_meter(outcome)
            await self._sandbox.stop(STOP_GRACE_S)
            try:
                self._note_saved(await self._keeper.save())
            except SaveFailed as error:
                self._journal.note("notice", code=error.code, text=error.message)
                # Whoever leaves more than is kept has not met a fault of ours, and no later try would keep it.
                if not isinstance(error, WorkTooLarge):
                    await self._grip.step(steps.leave_work)
                await self._end(
                    Outcome("failed", "work_too_large" if isinstance(error, WorkTooLarge) else "save_failed")
                )
                return
        self._is_let_go = True
        await self._end(outcome)

    async def _end(self, outcome: Outcome) -> None:
        await self._journal.flush()
        is_ours = outcome.is_our_fault
        await self._grip.step(
            lambda db, claim: steps.end(db, claim, outcome.state, outcome.reason, is_our_fault=is_ours)
        )

    def _note_saved(self, saved: Saved) -> None:
        note_left_out(self._journal.note, saved)
        added, removed = sum(each.added for each in saved.files), sum(each.removed for each in saved.files)
        self._journal.note(
            "git",
            action="saved",
            branch=saved.branch,
            sha=saved.head_sha,
            files=len(saved.files),
            added=added,
            removed=removed,
            commits=len(saved.commits),
        )

    async def _clean_up(self) -> None:
        if self._sandbox is None:
            return
        try:
            await self._sandbox.stop(0)
            if self._is_let_go:
                await self._sandbox.destroy()
            else:
                await self._sandbox.leave()
        except (OSError, SandboxFailed, TimeoutError) as error:
            # Whoever sweeps this machine finds what is left.
            log.warning("sandbox_left_behind", run=self._run.shown_id, error=type(error).__name__)

    def _on_notice(self, notice: Notice) -> None:
        if notice.kind == "refused":
            # Engines may try again for ever, so the first refusal of the gateway ends the attempt.
            self.pulse.is_refused = True
            self.pulse.tell()
        if notice.kind in {"gateway_away", "gateway_back"}:
            self.pulse.is_gateway_away = notice.kind == "gateway_away"
        self._journal.note(
            "egress_denied" if notice.kind == "egress_denied" else "notice", code=notice.kind, text=notice.text
        )

    def _spec(self, gateway_url: str) -> RunSpec:
        run, place = self._run, self._place
        return RunSpec(
            name=f"{run.id.hex[-20:]}-{self._taken.claim.epoch}",
            gateway=GatewayAccess(gateway_url, self._taken.secret, (run.model_id,)),
            may_write=may_write(run.kind),
            environment=place.variables,
            setup_secrets=place.setup_secrets,
            run_secrets=place.run_secrets,
            setup_egress=Egress(place.hosts),
            tools=place.tools,
        )
