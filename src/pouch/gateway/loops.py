"""Agents that go round in circles: their tasks are slowed, then stopped.

Roo Code and its kin must call a tool in each turn. A model that answers in words alone is asked again at once, with the
same conversation and a line more, for as long as somebody pays. In words:

- A turn is **empty** when tools were offered, the answer came whole, and it called none.
- From the third empty turn in a row on, the next one waits first: 1, 2, 4 and then 8 seconds.
- After `loop_turns` empty turns in a row the task is **stopped** for ten minutes: 429, with the reason. After that each
  empty turn stops it again.
- A tool call ends the row. So does a pause of ten seconds before the task was ever stopped: a loop does not think.
- A task makes at most `task_requests_per_minute` calls in a minute, whatever they say.

Only calls that name their task (`X-Roo-Task-ID`) are looked at: others cannot be told from a program that asks many
people's questions. It is known to this process only; what a task may spend is the ledger's, over all processes.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import structlog

from pouch.gateway.errors import Looping, TooFast
from pouch.gateway.pace import Bucket
from pouch.settings import Limits

SLOW_AFTER = 3
WAITS = (1, 2, 4, 8)
"""In units of `Patience.loop_s`."""
STOPPED_FOR_S = 600
PAUSE_S = 10
TASKS_MAX = 10_000

log = structlog.get_logger()


@dataclass(slots=True)
class _Task:
    bucket: Bucket
    empty_turns: int = 0
    answered_at: float = 0.0
    stopped_until: float = 0.0
    was_stopped: bool = False


class Loops:
    """The tasks of everybody who calls this process. The one that was quiet for longest is forgotten first."""

    def __init__(self, limits: Limits, *, loop_s: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._loop_s = loop_s
        self._clock = clock
        self._tasks: dict[tuple[UUID, str], _Task] = {}

    async def enter(self, person_id: UUID, task_id: str) -> None:
        """A turn of a task begins: wait if it goes round in circles. Raises Looping when it is stopped, and TooFast."""
        now, most = self._clock(), self._limits.task_requests_per_minute
        known = self._tasks.pop((person_id, task_id), None)
        task = self._tasks[person_id, task_id] = known or _Task(Bucket(most, most, now))
        if len(self._tasks) > TASKS_MAX:
            del self._tasks[next(iter(self._tasks))]
        if task.stopped_until > now:
            raise self._stopped(task, now)
        if most and (wait_s := task.bucket.take(now)):
            raise TooFast(
                f"A task may make {most} calls a minute here, and this one is at its limit. Try again in {wait_s} s.",
                metadata={"limit": "task_requests_per_minute", "value": most},
                retry_after_s=wait_s,
            )
        if not task.was_stopped and now - task.answered_at > PAUSE_S:
            task.empty_turns = 0
        beyond = task.empty_turns - SLOW_AFTER
        if self._limits.loop_turns and beyond >= 0 and not task.was_stopped:
            await asyncio.sleep(WAITS[min(beyond, len(WAITS) - 1)] * self._loop_s)

    def answered(self, person_id: UUID, task_id: str, *, has_called: bool) -> None:
        """A turn that was offered tools was answered whole."""
        task = self._tasks.get((person_id, task_id))
        if task is None:
            return
        task.answered_at = self._clock()
        if has_called:
            task.empty_turns, task.was_stopped = 0, False
            return
        task.empty_turns += 1
        if task.empty_turns >= self._limits.loop_turns > 0:
            task.stopped_until, task.was_stopped = task.answered_at + STOPPED_FOR_S, True
            log.warning("a task was stopped, it goes round in circles", empty_turns=task.empty_turns)

    def _stopped(self, task: _Task, now: float) -> Looping:
        wait_s = max(1, round(task.stopped_until - now))
        return Looping(
            f"This task was stopped: its last {task.empty_turns} answers called none of the tools that were offered, "
            "so it seems to go round in circles. Start a new task, say more plainly what to do, or choose another "
            f"model. This task may go on in {wait_s} s.",
            metadata={"limit": "loop_turns", "value": self._limits.loop_turns, "empty_turns": task.empty_turns},
            retry_after_s=wait_s,
        )
