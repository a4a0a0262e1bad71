"""From one state of a run to the next: the one function through which every change goes.

In words.

- Whatever leaves `running` is settled in the same transaction: what ran is charged, the rest of the hold comes back.
- A run that is over, is being ended, or waits without a worker has no live key: it is revoked and blocked in the same
  transaction. Once it is over, the run itself is blocked as well.
- A run that is over leaves the first of its organization's queue to the workers.
- Only its person's word brings a run back that is over (`reopen`): with a new key, and under the same caps, in which
  counts what it has cost before.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from pouch.agents import meter
from pouch.agents.events import New, append
from pouch.agents.hooks import tell
from pouch.agents.triggers.origins import tell_news
from pouch.agents.types import AT_WORK, OVER, Run, RunState
from pouch.base.database import Connection
from pouch.identity.run_keys import end_run_keys
from pouch.jobs.doorbell import ring
from pouch.ledger.blocks import block, unblock

JOB = "agents.run"


async def move(  # noqa: PLR0913 -- what changes, by name
    db: Connection,
    run: Run,
    state: RunState,
    *,
    at: datetime,
    reason: str = "",
    is_lost: bool = False,
    keeps_worker: bool = False,
    say: Sequence[New] = (),
) -> Run:
    """Bring a run, which is locked, to a state; the run as it is then.

    `is_lost`: its worker is gone, so time counts until it was last seen. `keeps_worker`: somebody goes on working on
    it. `say` are events that come before the change.
    """
    assert not run.is_over, f"run {run.id} is over"
    assert state != "running" or not run.price_per_hour or run.held_to_s > run.ran_s, "running time is held first"
    left_at = at
    if run.state == "running":
        if is_lost:
            left_at = run.seen_at or at
        else:
            run = meter.counted(run, at)
            await meter.write_counted(db, run)
        if state != "running":
            run = await meter.settle(db, run, at)
    is_over = state in OVER
    if state == "stopping" or not keeps_worker:
        await end_keys(db, run.id)
    if is_over:
        await block(db, run.id)
    await db.execute(
        """
        UPDATE agent_runs
           SET state = %(state)s, reason = %(reason)s, state_since = %(at)s,
               wish = CASE WHEN wish = 'stop' AND %(keeps)s THEN wish ELSE '' END,
               seen_at = CASE WHEN %(state)s = 'running' THEN %(at)s ELSE seen_at END,
               ended_at = CASE WHEN %(over)s THEN %(at)s::timestamptz END,
               due_at = CASE WHEN %(keeps)s THEN due_at WHEN %(state)s = 'queued' THEN %(at)s::timestamptz END,
               lease_until = CASE WHEN %(keeps)s THEN lease_until END
         WHERE id = %(id)s
        """,
        {
            "id": run.id,
            "state": state,
            "reason": reason,
            "at": at,
            "over": is_over,
            "keeps": keeps_worker,
        },
    )
    await _span(db, run.id, state, left_at=left_at, at=at, is_over=is_over)
    body: dict[str, object] = {"state": state}
    if reason:
        body["reason"] = reason
    await append(db, run.id, [*say, ("state", body)])
    await tell(db, run, state)
    await tell_news(db, run, state)
    if state not in AT_WORK and run.state in AT_WORK:
        await call_next(db, run.organization_id)
    return replace(
        run,
        state=state,
        reason=reason,
        state_since=at,
        ended_at=at if is_over else None,
        seen_at=at if state == "running" else run.seen_at,
        lease_until=run.lease_until if keeps_worker else None,
    )


async def reopen(db: Connection, run: Run, *, at: datetime) -> Run:
    """Queue a run that is over and locked, to go on from what it left; the run as it is then."""
    assert run.is_over, f"run {run.id} is not over"
    await unblock(db, run.id)
    await db.execute(
        """
        UPDATE agent_runs SET state = 'queued', reason = '', state_since = %(at)s, ended_at = NULL, wish = '',
                              due_at = %(at)s, attempts = 0
         WHERE id = %(id)s
        """,
        {"id": run.id, "at": at},
    )
    await _span(db, run.id, "queued", left_at=at, at=at, is_over=False)
    await append(db, run.id, [("state", {"state": "queued"})])
    await ring(db, JOB, run.id, lane="agents")
    return replace(run, state="queued", reason="", state_since=at, ended_at=None)


async def end_keys(db: Connection, run_id: UUID) -> None:
    """Revoke and block the keys of every attempt. Repeats safely."""
    rows = await db.execute(
        "SELECT key_id FROM agent_run_attempts WHERE run_id = %s AND key_id IS NOT NULL AND ended_at IS NULL", (run_id,)
    )
    await end_run_keys(db, [key_id for (key_id,) in await rows.fetchall()])
    await db.execute(
        "UPDATE agent_run_attempts SET ended_at = clock_timestamp() WHERE run_id = %s AND ended_at IS NULL", (run_id,)
    )


async def call_next(db: Connection, organization_id: UUID) -> None:
    """A place has come free: the longest waiting run of the organization is due."""
    rows = await db.execute(
        """
        UPDATE agent_runs SET due_at = clock_timestamp()
         WHERE id = (SELECT id FROM agent_runs WHERE organization_id = %s AND state = 'queued'
                      ORDER BY number LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
        RETURNING id
        """,
        (organization_id,),
    )
    row = await rows.fetchone()
    if row is not None:
        await ring(db, JOB, row[0], lane="agents")


async def _span(  # noqa: PLR0913 -- by name
    db: Connection, run_id: UUID, state: RunState, *, left_at: datetime, at: datetime, is_over: bool
) -> None:
    await db.execute(
        "UPDATE agent_run_spans SET ended_at = greatest(began_at, %s) WHERE run_id = %s AND ended_at IS NULL",
        (left_at, run_id),
    )
    if not is_over:
        await db.execute(
            """
            INSERT INTO agent_run_spans (run_id, number, state, began_at)
            SELECT %(id)s, coalesce(max(number), 0) + 1, %(state)s, %(at)s FROM agent_run_spans WHERE run_id = %(id)s
            """,
            {"id": run_id, "state": state, "at": at},
        )
