"""A run whose worker is gone: settled at once, whether or not anybody has a place free to save its work.

In words.

- A worker whose lease has ended writes nothing any more (`beats.own`), so its run is settled by whoever looks first:
  a chore every few seconds, the person who stops it, or the worker that takes it.
- What ran until the worker was last seen is charged, the rest comes back, and its key is dead: nothing of it spends.
- Its work still lies where it ran. The run stays due until a worker has saved it (`lost`) and ended the run.
- One that had not begun to run goes back into the queue, some times; one that its person wished to stop ends.
"""

from datetime import datetime
from uuid import UUID

from pouch.agents.events import New
from pouch.agents.letters import tell_end
from pouch.agents.moves import JOB, move
from pouch.agents.store import lock_run
from pouch.agents.types import Run
from pouch.base.database import Connection, Database
from pouch.jobs.doorbell import ring
from pouch.jobs.registry import Jobs

LOOK_EVERY_S = 5
STARTS_MAX = 3
"""How often a run is started anew when its worker was lost before the agent ran."""
BATCH = 100


async def lose(db: Connection, run: Run, at: datetime, *, is_claimed: bool = False) -> Run:
    """Settle a locked run whose worker is gone, and say so; the run as it is then. Repeats safely.

    `is_claimed`: another worker has just taken it, which is counted as a start already.
    """
    if run.is_unsaved:
        return run
    if run.state not in {"starting", "setup"}:
        return await move(
            db, run, "stopping", at=at, reason="worker_lost", is_lost=True, keeps_worker=True, say=[_LOST_RUNNING]
        )
    if run.wish == "stop":
        run = await move(db, run, "canceled", at=at, reason="stopped", say=[_LOST_STARTING])
    elif await _starts(db, run) - is_claimed >= STARTS_MAX:
        run = await move(db, run, "failed", at=at, reason="worker_lost", say=[_LOST_STARTING])
    else:
        run = await move(db, run, "queued", at=at, say=[_LOST_STARTING])
        await ring(db, JOB, run.id, lane="agents")
        return run
    await tell_end(db, run)
    return run


class LosingJobs:
    """Looks for runs whose worker is gone. Any process does it: it needs no place among the agents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, jobs: Jobs) -> None:
        """Look from this process, by the clock."""
        jobs.every(LOOK_EVERY_S, "agents.lose", self.lose_all)

    async def lose_all(self) -> None:
        """Settle every run whose worker is gone, each in a transaction of its own."""
        async with self._database.transaction() as db:
            silent = await _silent(db)
        for run_id in silent:
            async with self._database.transaction() as db:
                found = await lock_run(db, run_id)
                if found is not None and found[0].is_lost_at(found[1]):
                    await lose(db, *found)


async def _silent(db: Connection) -> list[UUID]:
    rows = await db.execute(
        """
        SELECT id FROM agent_runs
         WHERE due_at IS NOT NULL AND lease_until < clock_timestamp()
           AND NOT (state = 'stopping' AND reason = 'worker_lost')
         ORDER BY lease_until LIMIT %s
        """,
        (BATCH,),
    )
    return [run_id for (run_id,) in await rows.fetchall()]


async def _starts(db: Connection, run: Run) -> int:
    rows = await db.execute("SELECT attempts FROM agent_runs WHERE id = %s", (run.id,))
    row = await rows.fetchone()
    return row[0] if row else 0


_LOST_RUNNING: New = (
    "notice",
    {
        "code": "worker_lost",
        "text": "The machine that ran this was lost. Nothing after its last sign of life is billed.",
    },
)
_LOST_STARTING: New = (
    "notice",
    {"code": "worker_lost", "text": "The machine that prepared this was lost. Nothing is billed."},
)
