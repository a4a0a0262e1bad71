"""One attempt at a run: prepare (free), set up (free), run (billed), save (free), end.

Two things go on at once: the course of the attempt, and the pulse, which keeps the claim, counts the time and hears
what the run's person wants. The pulse never acts; it wakes the course, which decides. Whoever loses the claim kills its
agent and writes nothing more.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from pouch.agents import steps
from pouch.agents.beats import beat, wish_of
from pouch.agents.claiming import BEAT_EVERY_S, LEASE_S, Taken
from pouch.agents.engines.types import Finish, Turn
from pouch.agents.errors import Fenced
from pouch.agents.journal import Journal
from pouch.agents.kinds import may_write
from pouch.agents.sandboxes.errors import CloneFailed, SandboxFailed, SandboxUnsafe, SaveFailed, SourceRefused
from pouch.agents.sandboxes.types import Cloned, Egress, GatewayAccess, Notice, Repository, RunSpec, Sandbox, Saved
from pouch.agents.types import Run, RunState
from pouch.agents.workshop import Driving, Place, SetupFailed, Workshop
from pouch.agents.workspace_files import before_of, kept_of, result_of
from pouch.base.database import Connection, Database
from pouch.jobs.claims import Claim
from pouch.ledger.operations import Refused

LOOK_EVERY_S = 0.5
"""How soon a wish is heard."""
PREPARE_TIMEOUT_S = 120
SETUP_TIMEOUT_S = 600
STOP_GRACE_S = 20
FROZEN_MAX_S = 600
"""How long a paused agent is kept in memory before its work is saved and its place given up."""
SILENCE_MAX_S = LEASE_S - BEAT_EVERY_S
"""A worker that could not beat for so long ends its agent by itself: soon somebody else takes the run."""
LAST_MOMENT_US = 2_000_000
"""When so little paid time is left and no more can be set aside, the agent is stopped."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt comes to."""

    state: RunState
    reason: str = ""


_OUTCOMES: dict[Finish, Outcome] = {
    "finished": Outcome("succeeded"),
    "out_of_credits": Outcome("paused_no_credit"),
    "timed_out": Outcome("timed_out", "time_limit"),
    "step_limit": Outcome("failed", "step_limit"),
    "repeating": Outcome("failed", "repeating"),
    "stopped": Outcome("failed", "engine_failed"),
    "killed": Outcome("failed", "engine_failed"),
    "failed": Outcome("failed", "engine_failed"),
}


class _Ended(Exception):
    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Pulse:
    """What is known from the beats, and from outside. `changed` is set whenever it is worth looking."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.wish = ""
        self.is_fenced = False
        self.is_time_up = False
        self.drains = False
        self.refused: str = ""
        """The budget that allowed no more time: credits, run_limit, …"""
        self.is_refused = False
        """The gateway refused a call for want of credits."""

    def tell(self) -> None:
        """Wake the course."""
        self.changed.set()


class Attempt:
    """Works on one run that was taken, until it is over or rests."""

    def __init__(self, database: Database, workshop: Workshop, taken: Taken, place: Place, journal: Journal) -> None:
        self._database = database
        self._workshop = workshop
        self._taken = taken
        self._claim: Claim = taken.claim
        self._run: Run = taken.run
        self._place = place
        self._journal = journal
        self.pulse = Pulse()
        self._sandbox: Sandbox | None = None
        self._cloned: Cloned | None = None
        self._keeps_workspace = False

    async def work(self, gateway_url: str) -> None:
        """Do it. Returns when the run is over, rests, or is somebody else's."""
        loop = asyncio.get_running_loop()
        beating = loop.create_task(self._beat(), name=f"pulse of run {self._run.number}")
        writing = loop.create_task(self._journal.run(), name=f"journal of run {self._run.number}")
        try:
            outcome = await self._course(gateway_url)
            await self._finish(outcome)
        except Fenced:
            log.warning("agent_fenced", run=self._run.shown_id)
        finally:
            beating.cancel()
            self._journal.close()
            await self._clean_up()
            await asyncio.gather(beating, writing, return_exceptions=True)

    # ------------------------------------------------------------------ the course

    async def _course(self, gateway_url: str) -> Outcome:
        try:
            await self._prepare(gateway_url)
            return await self._let_run()
        except _Ended as ended:
            return ended.outcome
        except Fenced:
            raise
        except (SourceRefused, CloneFailed, SandboxUnsafe, SandboxFailed) as error:
            self._journal.note("notice", code=error.code, text=error.message)
            return Outcome("failed", error.code)
        except TimeoutError:
            return Outcome("failed", "start_timeout")
        except SetupFailed:
            return Outcome("failed", "setup_failed")
        except Exception as error:
            log.exception("agent_broke", run=self._run.shown_id, error=type(error).__name__)
            return Outcome("failed", "internal_error")

    async def _prepare(self, gateway_url: str) -> None:
        run = self._run
        spec = self._spec(gateway_url)
        self._sandbox = await self._unless_ended(self._workshop.prepare(spec, self._on_notice), PREPARE_TIMEOUT_S)
        with tempfile.TemporaryDirectory(prefix="pouch-run-") as folder:
            before = await before_of(self._database, run, Path(folder))
            # What the sandbox copies from must be readable for whoever it runs as.
            Path(folder).chmod(0o755)
            fetching = self._workshop.fetch(
                self._sandbox, Repository(run.repository, run.branch), run.work_branch, before
            )
            self._cloned = await self._unless_ended(fetching, PREPARE_TIMEOUT_S)
        if self._place.commands:
            await self._step(lambda db: steps.enter(db, self._claim, "setup"))
            setting_up = self._workshop.set_up(self._sandbox, self._place.commands, self._journal.note_event)
            await self._unless_ended(setting_up, SETUP_TIMEOUT_S)

    async def _let_run(self) -> Outcome:
        sandbox = self._sandbox
        assert sandbox is not None
        engine = self._workshop.engine(self._run.engine)
        if engine is None:
            self._journal.note(
                "notice", code="engine_failed", text=f"The engine {self._run.engine} is not installed here."
            )
            return Outcome("failed", "engine_failed")
        task, resumes = self._run.task, self._taken.after == "resume"
        first = await self._messages()
        if resumes and first:
            task = "\n\n".join(first)
        elif first:
            task = "\n\n".join([task, *first])
        while True:
            await self._enter_running()
            turn = self._turn(task, resumes=resumes)
            driving = await self._workshop.drive(sandbox, engine, turn, self._journal.note_event)
            finish = await self._watch(driving)
            outcome = self._judge(finish)
            if outcome.state != "succeeded" or not (more := await self._messages()):
                return outcome
            task, resumes = "\n\n".join(more), True

    async def _enter_running(self) -> None:
        if self.pulse.wish == "pause":
            await self._wait_frozen("asked")
            return
        if (outcome := self._reason_to_end()) is not None:
            raise _Ended(outcome)
        entered = await self._step(lambda db: steps.begin_to_run(db, self._claim))
        if isinstance(entered, Refused):
            raise _Ended(Outcome("paused_no_credit", entered.source))

    async def _watch(self, driving: Driving) -> Finish:
        """Let the agent work until it ends, or has to: what is wished, what the pulse says, and its own end."""
        ending = asyncio.ensure_future(driving.wait())
        try:
            while True:
                looking = asyncio.ensure_future(self.pulse.changed.wait())
                await asyncio.wait({ending, looking}, return_when=asyncio.FIRST_COMPLETED)
                looking.cancel()
                self.pulse.changed.clear()
                if self.pulse.is_fenced:
                    raise Fenced
                if ending.done():
                    return ending.result()
                if (outcome := self._reason_to_end()) is not None:
                    await self._stop_meter(outcome)
                    await driving.stop(STOP_GRACE_S)
                    raise _Ended(outcome)
                if self.pulse.wish == "pause":
                    await self._freeze(driving)
                else:
                    await self._deliver(driving)
        finally:
            ending.cancel()

    async def _freeze(self, driving: Driving) -> None:
        sandbox = self._sandbox
        assert sandbox is not None
        # First it stands still, then the meter stops: never the other way, and nothing of the stillness is billed.
        await sandbox.freeze()
        await self._step(lambda db: steps.freeze(db, self._claim, "asked"))
        try:
            await self._wait_frozen("asked", is_frozen=True)
        except _Ended:
            await sandbox.thaw()
            await driving.stop(STOP_GRACE_S)
            raise
        await sandbox.thaw()

    async def _wait_frozen(self, reason: str, *, is_frozen: bool = False) -> None:
        """Wait until the run goes on. Raises _Ended when it is stopped, or waits too long to be kept in memory."""
        if not is_frozen:
            await self._step(lambda db: steps.freeze(db, self._claim, reason))
        try:
            async with asyncio.timeout(FROZEN_MAX_S):
                while self.pulse.wish not in {"resume", "stop"} and not self.pulse.is_fenced and not self.pulse.drains:
                    await self.pulse.changed.wait()
                    self.pulse.changed.clear()
        except TimeoutError:
            raise _Ended(Outcome("paused", reason)) from None
        if self.pulse.is_fenced:
            raise Fenced
        if self.pulse.wish == "stop":
            raise _Ended(Outcome("canceled", "stopped"))
        if self.pulse.drains:
            raise _Ended(Outcome("paused", reason))
        entered = await self._step(lambda db: steps.begin_to_run(db, self._claim))
        self.pulse.wish = ""
        if isinstance(entered, Refused):
            raise _Ended(Outcome("paused_no_credit", entered.source))

    def _reason_to_end(self) -> Outcome | None:
        pulse = self.pulse
        if pulse.wish == "stop":
            return Outcome("canceled", "stopped")
        if pulse.is_time_up:
            return Outcome("timed_out", "time_limit")
        if pulse.refused or pulse.is_refused:
            return Outcome("paused_no_credit", pulse.refused)
        if pulse.drains:
            # Another worker takes it up from what is saved; waiting for one costs nothing.
            return Outcome("queued", "")
        return None

    def _judge(self, finish: Finish) -> Outcome:
        """What the end of an agent means. What we saw ourselves counts before what its exit code claims."""
        if (outcome := self._reason_to_end()) is not None:
            return outcome
        return _OUTCOMES[finish]

    async def _deliver(self, driving: Driving) -> None:
        async with self._database.transaction() as db:
            waiting = await steps.waiting_messages(db, self._run.id)
        for message in waiting:
            if not await driving.say(message.text):
                return
            async with self._database.transaction() as db:
                await steps.mark_delivered(db, [message])

    async def _messages(self) -> Sequence[str]:
        async with self._database.transaction() as db:
            waiting = await steps.waiting_messages(db, self._run.id)
            await steps.mark_delivered(db, waiting)
        return [message.text for message in waiting]

    # ------------------------------------------------------------------ the end

    async def _finish(self, outcome: Outcome) -> None:
        """Stop the meter, save, and only then let the workspace go."""
        if outcome.state == "paused_no_credit" and not outcome.reason:
            budget = await self._step(lambda db: steps.tightest_budget(db, self._run))
            outcome = Outcome(outcome.state, budget)
        if self.pulse.is_fenced:
            raise Fenced
        sandbox, cloned = self._sandbox, self._cloned
        if sandbox is None or cloned is None:
            await self._journal.flush()
            await self._step(lambda db: steps.end(db, self._claim, outcome.state, outcome.reason))
            return
        await self._stop_meter(outcome)
        await sandbox.stop(STOP_GRACE_S)
        with tempfile.TemporaryDirectory(prefix="pouch-save-") as folder:
            try:
                saved = await self._workshop.save(sandbox, Path(folder), cloned.base_sha, self._run.work_branch)
            except SaveFailed as error:
                self._keeps_workspace = True
                self._journal.note("notice", code=error.code, text=error.message)
                await self._journal.flush()
                await self._step(lambda db: steps.end(db, self._claim, "failed", "save_failed"))
                return
            await self._step(lambda db: steps.keep_files(db, self._claim, kept_of(self._run, saved)))
            self._note_saved(saved)
            await self._journal.flush()
            result = result_of(cloned, saved)
            await self._step(lambda db: steps.end(db, self._claim, outcome.state, outcome.reason, result=result))

    def _note_saved(self, saved: Saved) -> None:
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
        if self._sandbox is None or self._keeps_workspace:
            return
        try:
            await self._sandbox.stop(0)
            await self._sandbox.destroy()
        except Exception as error:  # noqa: BLE001 -- the reaper finds what is left
            log.warning("sandbox_left_behind", run=self._run.shown_id, error=type(error).__name__)

    # ------------------------------------------------------------------ the pulse

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        beaten_at, beat_at = loop.time(), loop.time()
        hurries = False
        pulse = self.pulse
        while not pulse.is_fenced:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                async with asyncio.timeout(BEAT_EVERY_S), self._database.transaction() as db:
                    wish = await wish_of(db, self._claim)
                    if loop.time() >= beat_at or hurries:
                        seen = await beat(db, self._claim)
                        hurries = seen.refused is not None or seen.ahead_us < 4 * LAST_MOMENT_US
                        if seen.refused is not None and seen.ahead_us <= LAST_MOMENT_US:
                            pulse.refused = seen.refused.source
                        pulse.is_time_up = seen.is_time_up
                        beaten_at, beat_at = loop.time(), loop.time() + BEAT_EVERY_S
                    pulse.wish = wish
            except Fenced:
                pulse.is_fenced = True
            except (psycopg.Error, PoolTimeout, TimeoutError, OSError) as error:
                log.warning("agent_pulse_missed", run=self._run.shown_id, error=type(error).__name__)
                pulse.is_fenced = loop.time() - beaten_at > SILENCE_MAX_S
            pulse.tell()

    def _on_notice(self, notice: Notice) -> None:
        if notice.kind == "refused":
            # Engines may try again for ever, so the first refusal of the gateway ends the attempt.
            self.pulse.is_refused = True
            self.pulse.tell()
        self._journal.note(
            "egress_denied" if notice.kind == "egress_denied" else "notice", code=notice.kind, text=notice.text
        )

    # ------------------------------------------------------------------ small things

    async def _stop_meter(self, outcome: Outcome) -> None:
        # What was said before stands before it in the timeline.
        said = await self._journal.take()
        await self._step(lambda db: steps.begin_to_stop(db, self._claim, outcome.reason, said))

    async def _unless_ended(self, doing: Awaitable[T], timeout_s: float) -> T:
        """Do something long, unless the run has to end first."""
        task = asyncio.ensure_future(doing)
        try:
            async with asyncio.timeout(timeout_s):
                while not task.done():
                    looking = asyncio.ensure_future(self.pulse.changed.wait())
                    await asyncio.wait({task, looking}, return_when=asyncio.FIRST_COMPLETED)
                    looking.cancel()
                    self.pulse.changed.clear()
                    if self.pulse.is_fenced:
                        raise Fenced
                    if not task.done() and (outcome := self._reason_to_end()) is not None:
                        raise _Ended(outcome)
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def _spec(self, gateway_url: str) -> RunSpec:
        run, place = self._run, self._place
        return RunSpec(
            name=f"{run.id.hex[-20:]}-{self._claim.epoch}",
            gateway=GatewayAccess(gateway_url, self._taken.secret, (run.model_id,)),
            may_write=may_write(run.kind),
            environment=place.variables,
            setup_secrets=place.setup_secrets,
            run_secrets=place.run_secrets,
            setup_egress=Egress(place.hosts),
        )

    def _turn(self, task: str, *, resumes: bool) -> Turn:
        run = self._run
        return Turn(
            kind=run.kind,
            task=task,
            model=run.model_id,
            may_write=may_write(run.kind),
            resume=resumes,
            timeout_s=float(run.time_limit_s),
            instructions=run.prompt,
        )

    async def _step(self, act: Callable[[Connection], Awaitable[T]]) -> T:
        """One transaction of this attempt; tried again while the database is away and the claim may still hold."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SILENCE_MAX_S
        while True:
            try:
                async with self._database.transaction() as db:
                    return await act(db)
            except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, OSError):
                if loop.time() > until:
                    raise Fenced from None
                await asyncio.sleep(LOOK_EVERY_S)
