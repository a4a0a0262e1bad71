"""Serving a lane: a worker that is started again whenever it ends, until it is told to stop."""

import asyncio
import contextlib
from dataclasses import dataclass

import structlog

from pouch.jobs.engine import Engine

log = structlog.get_logger(__name__)

RESTART_PAUSE_S = 1


@dataclass(frozen=True, slots=True)
class LaneRules:
    """How many jobs a process runs at once, how long one may take, and how long a stop waits for those in flight."""

    width: int
    timeout_s: float | None
    patience_s: float


LANES: dict[str, LaneRules] = {
    # The sweep and other ticks: nothing that people ring for may stand in their way.
    "chores": LaneRules(width=4, timeout_s=300, patience_s=5),
    "short": LaneRules(width=8, timeout_s=20, patience_s=20),
    "mail": LaneRules(width=4, timeout_s=45, patience_s=20),
    # Runs watch their own time. What is cut off by a stop saves itself and is rung for again.
    "agents": LaneRules(width=4, timeout_s=None, patience_s=60),
    # Longer than a push may take, shorter than its lease.
    "publishing": LaneRules(width=2, timeout_s=400, patience_s=20),
}


async def serve(engine: Engine, lane: str, stop: asyncio.Event, *, width: int) -> None:
    """Work on a lane, so many jobs at once, until `stop` is set; then let the jobs in flight end.

    The engine's worker ends by itself, without an exception, when Postgres goes away: it is started again each second.
    """
    while not stop.is_set():
        await _work_until(stop, engine, lane, width)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), RESTART_PAUSE_S)


async def _work_until(stop: asyncio.Event, engine: Engine, lane: str, width: int) -> None:
    async with asyncio.TaskGroup() as group:
        worker = group.create_task(_work(engine, lane, width), name=f"lane {lane}")
        stopper = group.create_task(_cancel_at(stop, worker), name=f"stop of lane {lane}")
        worker.add_done_callback(lambda _: stopper.cancel())


async def _work(engine: Engine, lane: str, width: int) -> None:
    try:
        await engine.work(lane, width=width, patience_s=LANES[lane].patience_s)
    except Exception as error:  # noqa: BLE001 -- whatever ended the worker, the lane must be served again
        log.warning("jobs.lane_ended", lane=lane, error=repr(error))
    else:
        log.warning("jobs.lane_ended", lane=lane, error="the database went away")


async def _cancel_at(stop: asyncio.Event, worker: asyncio.Task[None]) -> None:
    await stop.wait()
    worker.cancel()
