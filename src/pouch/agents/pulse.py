"""The pulse of an attempt: it keeps the claim, counts the time and hears what the run's person wants.

It never acts. It wakes the course of the attempt (`attempt`, `turns`), which decides.

Rule. No agent runs without a pulse: when it cannot beat any more, for whatever reason, the worker lets the run go.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from pouch.agents.beats import beat, wish_of
from pouch.agents.claiming import BEAT_EVERY_S
from pouch.agents.errors import Fenced
from pouch.agents.grip import SILENCE_MAX_S, Grip
from pouch.agents.outcomes import Ended, Outcome
from pouch.agents.types import Run, Wish

LOOK_EVERY_S = 0.5
"""How soon a wish is heard."""
LAST_MOMENT_US = 2_000_000
"""When so little paid time is left and no more can be set aside, the agent is stopped."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Pulse:
    """What is known from the beats, and from outside."""

    def __init__(self, grip: Grip, run: Run) -> None:
        self._grip = grip
        self._run = run
        self._changed = asyncio.Event()
        self.wish: Wish = ""
        self.is_fenced = False
        self.is_time_up = False
        self.drains = False
        self.refused: str = ""
        """The budget that allowed no more time: credits, run_limit, …"""
        self.is_gateway_away = False
        """The relay could not reach the gateway when it was last asked to."""
        self.is_refused = False
        """The gateway refused a call for want of credits."""

    def tell(self) -> None:
        """Wake the course: it is worth looking."""
        self._changed.set()

    async def look(self) -> None:
        """Wait until it is worth looking. Raises Fenced when the run is somebody else's."""
        await self._changed.wait()
        self._changed.clear()
        if self.is_fenced:
            raise Fenced

    def reason_to_end(self) -> Outcome | None:
        """Why the attempt has to end now, if it has to. What we saw ourselves counts before what an engine claims."""
        if self.wish == "stop":
            return Outcome("canceled", "stopped")
        if self.is_time_up:
            return Outcome("timed_out", "time_limit")
        if self.refused or self.is_refused:
            return Outcome("paused_no_credit", self.refused)
        if self.drains:
            # Another worker takes it up from what is saved; waiting for one costs nothing.
            return Outcome("queued", "")
        return None

    async def unless_ended(self, doing: Awaitable[T], timeout_s: float) -> T:
        """Do something long, unless the run has to end first. Raises Ended, Fenced, TimeoutError."""
        task = asyncio.ensure_future(doing)
        try:
            async with asyncio.timeout(timeout_s):
                while not task.done():
                    looking = asyncio.ensure_future(self._changed.wait())
                    await asyncio.wait({task, looking}, return_when=asyncio.FIRST_COMPLETED)
                    looking.cancel()
                    self._changed.clear()
                    if self.is_fenced:
                        raise Fenced
                    if not task.done() and (outcome := self.reason_to_end()) is not None:
                        raise Ended(outcome)
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def until_over(self, ending: "asyncio.Task[T]") -> bool:
        """Wait until it is over, or worth looking: whether it is over. Raises Fenced."""
        looking = asyncio.ensure_future(self._changed.wait())
        await asyncio.wait({ending, looking}, return_when=asyncio.FIRST_COMPLETED)
        looking.cancel()
        self._changed.clear()
        if self.is_fenced:
            raise Fenced
        return ending.done()

    async def run(self) -> None:
        """Beat until the claim is over, or until cancelled."""
        loop = asyncio.get_running_loop()
        beaten_at, beat_at = loop.time(), loop.time()
        hurries = False
        while not self.is_fenced:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                async with asyncio.timeout(BEAT_EVERY_S), self._grip.database.transaction() as db:
                    wish = await wish_of(db, self._grip.claim)
                    if loop.time() >= beat_at or hurries:
                        seen = await beat(db, self._grip.claim)
                        hurries = seen.refused is not None or seen.ahead_us < 4 * LAST_MOMENT_US
                        if seen.refused is not None and seen.ahead_us <= LAST_MOMENT_US:
                            self.refused = seen.refused.source
                        self.is_time_up = seen.is_time_up
                        beaten_at, beat_at = loop.time(), loop.time() + BEAT_EVERY_S
                    self.wish = wish
            except Fenced:
                self.is_fenced = True
            except (psycopg.Error, PoolTimeout, TimeoutError, OSError) as error:
                log.warning("agent_pulse_missed", run=self._run.shown_id, error=type(error).__name__)
                self.is_fenced = loop.time() - beaten_at > SILENCE_MAX_S
            except Exception as error:  # noqa: BLE001 -- whatever broke, an agent that nobody watches would run on
                # Not with its traceback, whose frames hold the task.
                log.error("agent_pulse_broke", run=self._run.shown_id, error=f"{type(error).__name__}: {error}"[:300])
                self.is_fenced = True
            self.tell()
