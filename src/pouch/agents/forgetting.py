"""Forgetting what runs said and left. Their bills stay: numbers, times, charges, and which model was called."""

from uuid import UUID

from pouch.agents.errors import WrongState
from pouch.agents.store import find_run
from pouch.agents.types import Run
from pouch.base.database import Connection

FORGOTTEN = "Deleted"
BATCH = 50


async def forget_run(db: Connection, organization_id: UUID, run_id: UUID) -> Run:
    """Delete a run's task, timeline, files and links, for good. Raises WrongState while it is not over."""
    run = await find_run(db, organization_id, run_id)
    if not run.is_over:
        raise WrongState("Stop the run first.")
    await _forget(db, run.id)
    return await find_run(db, organization_id, run_id)


async def forget_old(db: Connection, days: int) -> None:
    """The same for runs that ended so many days ago; some at once, so call it again."""
    rows = await db.execute(
        """
        SELECT id FROM agent_runs
         WHERE ended_at < clock_timestamp() - make_interval(days => %s) AND forgotten_at IS NULL
         ORDER BY ended_at LIMIT %s
        """,
        (days, BATCH),
    )
    for (run_id,) in await rows.fetchall():
        await _forget(db, run_id)


async def _forget(db: Connection, run_id: UUID) -> None:
    await db.execute("DELETE FROM agent_run_events WHERE run_id = %s", (run_id,))
    await db.execute("DELETE FROM agent_run_messages WHERE run_id = %s", (run_id,))
    await db.execute("DELETE FROM agent_artifacts WHERE run_id = %s", (run_id,))
    await db.execute("DELETE FROM agent_share_links WHERE run_id = %s", (run_id,))
    # Where it was asked for, and where its work went; what was told and opened there is there to stay.
    await db.execute("DELETE FROM agent_origins WHERE id = %s", (run_id,))
    await db.execute("DELETE FROM agent_publications WHERE id = %s AND due_at IS NULL", (run_id,))
    await db.execute(
        """
        UPDATE agent_runs SET title = %s, task = %s, prompt = '', result = '{}', repository = '', branch = '',
                              forgotten_at = clock_timestamp()
         WHERE id = %s
        """,
        (FORGOTTEN, FORGOTTEN, run_id),
    )
