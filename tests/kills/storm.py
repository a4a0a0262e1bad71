"""Kills at random moments under load, and the wait until nothing of them is left."""

import asyncio
import os
import random
import time
from datetime import UTC, datetime, timedelta

from kills.books import connected, expired_holds, holds_before, say
from kills.victims import Victim, kill
from support.load import Load
from support.pouch import POLL_S, RunningPouch

BACK_S = 60
"""After a kill the next answers come within this time, on a busy machine, too."""
HOLDS_GONE_S = 40
"""The same for what the dead had set aside."""
SIGNS_OF_LIFE = 20
"""So many new answers show that Pouch is back."""


def seed_of_this_run() -> int:
    """Another one each time; POUCH_TEST_SEED repeats one."""
    seed = int(os.environ.get("POUCH_TEST_SEED", time.time_ns() % 1_000_000))
    say(f"POUCH_TEST_SEED={seed}")
    return seed


class Storm:
    """Kills one after the other while a load calls. `killed_at` is the time of the last."""

    def __init__(self, pouch: RunningPouch, load: Load, rng: random.Random) -> None:
        self.killed_at = datetime.now(UTC)
        self._serve_killed_at: list[datetime] = []
        self._pouch = pouch
        self._load = load
        self._rng = rng

    async def kill(self, victim: Victim) -> None:
        """Kill at a random moment: mostly when Pouch works again, sometimes while it still comes back."""
        if self._rng.random() < 0.75:
            await self.is_back()
        await asyncio.sleep(self._rng.uniform(0, 1.2))
        self.killed_at = await kill(self._pouch, victim)
        if victim in {"serve", "everything"}:
            self._serve_killed_at.append(self.killed_at)
        self._load.mark()
        say(f"{self._load.log.size} answers, then {victim} was killed")

    async def is_back(self) -> None:
        """Wait until calls that were begun after the last kill are answered."""
        try:
            async with asyncio.timeout(BACK_S):
                await self._load.answers(1)
                say(f"answers again {self.age_s():.1f} s after the last kill")
                await self._load.answers(SIGNS_OF_LIFE)
        except TimeoutError:
            raise AssertionError(f"no answers for {BACK_S} s\n{self._pouch.log()[-4000:]}") from None

    async def dead_holds_are_gone(self) -> None:
        """Wait until what was set aside before the last kill is charged or given back, while others go on calling."""
        async with connected(self._pouch.ends.database_url) as db:
            await db.set_autocommit(True)
            while left := await holds_before(db, self.killed_at):
                assert self.age_s() < HOLDS_GONE_S, f"{left} holds are left\n{self._pouch.log()[-4000:]}"
                await asyncio.sleep(POLL_S)
        say(f"no hold of before the last kill is left after {self.age_s():.1f} s")

    async def dead_holds_were_gone(self) -> None:
        """Look back: each hold that a killed `serve` left behind was given back soon after that kill."""
        async with connected(self._pouch.ends.database_url) as db:
            left_behind = await expired_holds(db)
        after_s = []
        for placed_at, closed_at in left_behind:
            # The database may finish what a process sent right before it died.
            deaths = [at for at in self._serve_killed_at if at > placed_at - timedelta(seconds=1)]
            assert deaths, f"a hold of {placed_at} expired at {closed_at}, and nobody had died"
            after_s.append((closed_at - deaths[0]).total_seconds())
        say(
            f"{len(after_s)} holds of killed processes expired, the last {max(after_s, default=0):.1f} s after its kill"
        )
        assert after_s
        assert max(after_s) < HOLDS_GONE_S

    def age_s(self) -> float:
        """How long ago the last kill was."""
        return (datetime.now(UTC) - self.killed_at).total_seconds()
