"""An agent at work, turn after turn: until it is done, asks, rests, or has to end. Only `running` is billed."""

import asyncio
from collections.abc import Sequence
from functools import partial

from pouch.agents import steps
from pouch.agents.engines.types import Engine, Finish, Turn
from pouch.agents.grip import Grip
from pouch.agents.journal import Journal
from pouch.agents.keeping import Keeper
from pouch.agents.kinds import may_write
from pouch.agents.outcomes import Ended, Outcome, outcome_of
from pouch.agents.pulse import Pulse
from pouch.agents.sandboxes.types import Sandbox
from pouch.agents.types import Run
from pouch.agents.workshop import Driving, Workshop
from pouch.base.database import Connection
from pouch.jobs.claims import Claim
from pouch.ledger.operations import Refused

STOP_GRACE_S = 20
FROZEN_MAX_S = 600
"""How long a paused agent is kept in memory before its work is saved and its place given up."""
ANSWER_MAX_S = 120
"""The same for one that waits for an answer. Going on from what is saved takes a second, so no place is kept long."""
ASK_EVERY_S = 2
"""How often a run that rests looks whether others wait for its worker: they come first."""
NO_ANSWER = "Nobody answers. Decide for yourself, and say what you decided."


class Turns:
    """Lets the agent of one attempt work in its sandbox."""

    def __init__(  # noqa: PLR0913, PLR0917 -- everything that an attempt has
        self,
        grip: Grip,
        pulse: Pulse,
        journal: Journal,
        workshop: Workshop,
        sandbox: Sandbox,
        keeper: Keeper,
        run: Run,
        *,
        keep_every_s: float,
    ) -> None:
        self._grip = grip
        self._pulse = pulse
        self._journal = journal
        self._workshop = workshop
        self._sandbox = sandbox
        self._keeper = keeper
        self._run = run
        self._keep_every_s = keep_every_s
        self._asked_at = 0.0

    async def work(self, engine: Engine, *, resumes: bool) -> Outcome:
        """Let it work: what it comes to. Raises Ended, Fenced, SandboxFailed."""
        first = await self._messages()
        # What it was told to begin with is in its talk, where that was kept.
        task = "\n\n".join(first if resumes and first else [self._run.task, *first])
        while True:
            await self._enter_running()
            before = await self._grip.step(steps.said_before) if resumes else ""
            turn = self._turn(task, resumes=resumes, before=before)
            driving = await self._workshop.drive(self._sandbox, engine, turn, self._journal.note_event)
            finish = await self._watch(driving)
            outcome = self._pulse.reason_to_end() or outcome_of(finish)
            if outcome.reason == "engine_failed" and self._pulse.is_gateway_away:
                outcome = Outcome("failed", "gateway_away")
            if outcome.state == "waiting_user":
                await self._wait_for_answer()
                more = await self._messages() or [NO_ANSWER]
            elif outcome.state != "succeeded" or not (more := await self._messages()):
                return outcome
            task, resumes = "\n\n".join(more), True

    async def stop_meter(self, outcome: Outcome) -> None:
        """From here on nothing is billed."""
        # What was said before stands before it in the timeline.
        said = await self._journal.take()
        await self._grip.step(lambda db, claim: steps.begin_to_stop(db, claim, outcome.reason, said))

    async def _enter_running(self) -> None:
        if self._pulse.wish == "pause":
            await self._grip.step(lambda db, claim: steps.freeze(db, claim, "asked"))
            await self._rest(FROZEN_MAX_S, Outcome("paused", "asked"))
            return
        if (outcome := self._pulse.reason_to_end()) is not None:
            raise Ended(outcome)
        entered = await self._grip.step(steps.begin_to_run)
        if isinstance(entered, Refused):
            raise Ended(Outcome("paused_no_credit", entered.source))

    async def _watch(self, driving: Driving) -> Finish:
        """Let the agent work until it ends, or has to: what is wished, what the pulse says, and its own end."""
        ending = asyncio.ensure_future(driving.wait())
        self._keeper.begin(self._keep_every_s)
        try:
            while not await self._pulse.until_over(ending):
                if (outcome := self._pulse.reason_to_end()) is not None:
                    await self.stop_meter(outcome)
                    await self._keeper.cease()
                    await driving.stop(STOP_GRACE_S)
                    raise Ended(outcome)
                if self._pulse.wish == "pause":
                    await self._freeze(driving)
                else:
                    await self._deliver(driving)
            return ending.result()
        finally:
            ending.cancel()
            await self._keeper.cease()

    async def _freeze(self, driving: Driving) -> None:
        # What makes a checkpoint would stand still as well, and could not be ended.
        await self._keeper.cease()
        # First it stands still, then the meter stops: never the other way, and nothing of the stillness is billed.
        await self._sandbox.freeze()
        await self._grip.step(lambda db, claim: steps.freeze(db, claim, "asked"))
        try:
            await self._rest(FROZEN_MAX_S, Outcome("paused", "asked"))
        except Ended:
            await self._sandbox.thaw()
            await driving.stop(STOP_GRACE_S)
            raise
        await self._sandbox.thaw()
        self._keeper.begin(self._keep_every_s)

    async def _wait_for_answer(self) -> None:
        # It may have been said in the moment in which it was asked for.
        if await self._grip.step(steps.wait_for_answer):
            await self._rest(ANSWER_MAX_S, Outcome("waiting_user", "asks"))

    async def _rest(self, most_s: float, rests: Outcome) -> None:
        """Wait until the run goes on, and runs again.

        Raises Ended when it is stopped, waits too long to be kept, or others wait for its worker's place.
        """
        pulse = self._pulse
        try:
            async with asyncio.timeout(most_s):
                while pulse.wish not in {"resume", "stop"} and not pulse.drains:
                    await pulse.look()
                    if await self._is_place_needed():
                        raise Ended(rests)
        except TimeoutError:
            raise Ended(rests) from None
        if pulse.wish == "stop":
            raise Ended(Outcome("canceled", "stopped"))
        if pulse.drains:
            raise Ended(rests)
        entered = await self._grip.step(steps.begin_to_run)
        pulse.wish = ""
        if isinstance(entered, Refused):
            raise Ended(Outcome("paused_no_credit", entered.source))

    async def _is_place_needed(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now < self._asked_at + ASK_EVERY_S:
            return False
        self._asked_at = now
        return await self._grip.step(steps.is_place_needed)

    async def _deliver(self, driving: Driving) -> None:
        waiting = await self._grip.step(steps.waiting_messages)
        for message in waiting:
            if not await driving.say(message.text):
                return
            await self._grip.step(partial(_heard, message))

    async def _messages(self) -> Sequence[str]:
        return [each.text for each in await self._grip.step(steps.take_messages)]

    def _turn(self, task: str, *, resumes: bool, before: str) -> Turn:
        run = self._run
        return Turn(
            kind=run.kind,
            task=task,
            model=run.model_id,
            may_write=may_write(run.kind),
            may_ask=run.trigger != "schedule",
            resume=resumes,
            before=before,
            timeout_s=float(run.time_limit_s),
            instructions=run.prompt,
        )


async def _heard(message: steps.Message, db: Connection, claim: Claim) -> None:
    await steps.mark_delivered(db, claim, [message])
