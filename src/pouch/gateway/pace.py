"""How much one person may ask of this process: calls in a minute, and calls at once.

A bucket holds the calls of a minute and is filled evenly; a call takes one out. These keep a program that runs away
from taking the process from everybody else. What it may spend is another matter: that is the ledger's, over all
processes.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from pouch.gateway.errors import TooFast, TooManyAtOnce
from pouch.settings import Limits

PEOPLE_MAX = 10_000
"""So many are remembered; those with nothing under way and a full bucket are forgotten first."""


@dataclass(slots=True)
class Bucket:
    """Calls that may be made now, and how fast more are let in."""

    per_minute: int
    left: float
    at: float

    def take(self, now: float) -> int:
        """Take a call out: 0, or the seconds until there is one."""
        self.left = min(self.per_minute, self.left + (now - self.at) * self.per_minute / 60)
        self.at = now
        if self.left < 1:
            return max(1, math.ceil((1 - self.left) * 60 / self.per_minute))
        self.left -= 1
        return 0

    def is_full(self, now: float) -> bool:
        """Whether it says no more than a new one."""
        return self.left + (now - self.at) * self.per_minute / 60 >= self.per_minute


@dataclass(slots=True)
class _Pace:
    bucket: Bucket
    under_way: int = 0


class Pace:
    """The pace of everybody who calls this process."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = limits.requests_per_minute
        self._at_once = limits.concurrent_calls
        self._clock = clock
        self._people: dict[UUID, _Pace] = {}

    def __len__(self) -> int:
        return len(self._people)

    def enter(self, person_id: UUID) -> None:
        """A call of the person begins; `leave` once it is over. Raises TooFast and TooManyAtOnce."""
        now = self._clock()
        pace = self._people.get(person_id)
        if pace is None:
            pace = self._people[person_id] = _Pace(Bucket(self._per_minute, self._per_minute, now))
            if len(self._people) > PEOPLE_MAX:
                self._forget(now)
        if pace.under_way >= self._at_once > 0:
            raise TooManyAtOnce(
                f"{pace.under_way} of your calls are under way, and no more may be at once here. "
                "Wait until some have ended, or ask the operator to raise limits.concurrent_calls.",
                metadata={"limit": "concurrent_calls", "value": self._at_once},
                retry_after_s=1,
            )
        if self._per_minute and (wait_s := pace.bucket.take(now)):
            raise TooFast(
                f"You may make {self._per_minute:,} calls a minute here. Try again in {wait_s} s; "
                "if a program of yours calls in a loop, stop it.",
                metadata={"limit": "requests_per_minute", "value": self._per_minute},
                retry_after_s=wait_s,
            )
        pace.under_way += 1

    def leave(self, person_id: UUID) -> None:
        """A call of the person is over."""
        pace = self._people.get(person_id)
        if pace is not None:
            pace.under_way -= 1

    def _forget(self, now: float) -> None:
        self._people = {
            person_id: pace
            for person_id, pace in self._people.items()
            if pace.under_way or not (pace.bucket.per_minute == 0 or pace.bucket.is_full(now))
        }
