"""Taking a run: from the queue when the organization has a place, or from a worker that is gone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from pouch.agents.losing import lose
from pouch.agents.moves import move
from pouch.agents.store import TABLE, clock, lock_run, read_run
from pouch.agents.types import Run, counting_subjects
from pouch.base.database import Connection
from pouch.identity.run_keys import add_run_key
from pouch.jobs.claims import Claim, claim

LEASE_S = 30
"""A worker that did not show itself for so long has lost its runs."""
BEAT_EVERY_S = 5
RUNNING_MAX = 2
"""Runs of an organization that are at work at once, where it has no number of its own."""
QUEUE_LOOK_S = 10
AWAY_MAX_S = 600
"""How long a lost run waits for the machine that its work lies on. Then it ends; the work is kept once that is back."""
OTHER_LOOK_S = 1
"""How soon the next worker may look at a run that this one has no engine for."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A run that is this worker's. `secret` opens the gateway for this attempt and is nowhere else.

    `after`: begin: from the start. resume: from what was saved. lost: its worker is gone; save what is left and end it.
    """

    run: Run
    claim: Claim
    secret: str
    after: Literal["begin", "resume", "lost"]


async def take(  # noqa: PLR0913 -- by name
    db: Connection,
    run_id: UUID,
    worker: str,
    *,
    running_max: int = RUNNING_MAX,
    has_engine: Callable[[str], object] = lambda _: True,
    disk: str = "",
) -> Taken | None:
    """Take a due run. None when it is not due, somebody else's, over, or its organization has no place free.

    `has_engine`: whether this worker has an engine. A run that asks for another is left to a worker that has it.
    `disk`: the one that this worker's workspaces lie on. A lost run is left, for a while, to those who reach its work.
    """
    await db.execute(
        """
        SELECT 1 FROM agent_organizations
         WHERE organization_id = (SELECT organization_id FROM agent_runs WHERE id = %s) FOR NO KEY UPDATE
        """,
        (run_id,),
    )
    if await _is_elsewhere(db, run_id, disk):
        return None
    held = await claim(db, TABLE, run_id, LEASE_S)
    if held is None:
        return None
    found = await lock_run(db, run_id)
    assert found is not None
    run, at = found
    if run.state != "queued":
        # Its worker is gone. What it ran until it was last seen is charged, and nothing after.
        run = await lose(db, run, at, is_claimed=True)
        if run.is_over:
            return None
        if run.is_unsaved:
            return Taken(run, held, "", "lost")
    is_ours = bool(has_engine(run.engine))
    if not is_ours or not await _has_place(db, run, running_max):
        await db.execute(
            """
            UPDATE agent_runs SET lease_until = NULL, attempts = attempts - 1,
                                  due_at = clock_timestamp() + make_interval(secs => %s)
             WHERE id = %s
            """,
            (QUEUE_LOOK_S if is_ours else OTHER_LOOK_S, run_id),
        )
        return None
    await db.execute(
        """
        UPDATE agent_runs SET due_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs => %s)
         WHERE id = %s
        """,
        (LEASE_S, run_id),
    )
    key_id, secret = await add_run_key(
        db,
        run.organization_id,
        person_id=run.person_id,
        name=f"Run {run.number}",
        counts_for=counting_subjects(run),
        model_ids=(run.model_id,),
    )
    await db.execute(
        """
        INSERT INTO agent_run_attempts (run_id, epoch, worker, key_id, began_us, disk) VALUES (%s, %s, %s, %s, %s, %s)
        """,
        (run.id, held.epoch, worker, key_id, run.ran_us, disk),
    )
    is_first = run.ran_us == 0
    await move(db, run, "starting", at=await clock(db), keeps_worker=True)
    taken = await read_run(db, run_id)
    assert taken is not None
    return Taken(taken, held, secret, "begin" if is_first else "resume")


async def _is_elsewhere(db: Connection, run_id: UUID, disk: str) -> bool:
    """Whether what a lost run left lies on the disk of a machine that may come back. Settles the run where need be."""
    found = await lock_run(db, run_id)
    if found is None:
        return False
    run, at = found
    if not run.is_unsaved and not (run.is_lost_at(at) and run.state not in {"queued", "starting", "setup"}):
        return False
    rows = await db.execute(
        "SELECT disk FROM agent_run_attempts WHERE run_id = %s ORDER BY epoch DESC LIMIT 1", (run_id,)
    )
    row = await rows.fetchone()
    if row is None or row[0] in {"", disk}:
        return False
    run = await lose(db, run, at)
    return (at - run.state_since).total_seconds() < AWAY_MAX_S


async def _has_place(db: Connection, run: Run, running_max: int) -> bool:
    # Those who came before and wait count, so that nobody is overtaken. What was lost and waits to be saved does not.
    rows = await db.execute(
        """
        SELECT count(*) FILTER (WHERE state IN ('starting', 'setup', 'running')
                                   OR (state = 'stopping' AND lease_until > clock_timestamp())
                                   OR (state = 'queued' AND number < %(number)s)),
               (SELECT running_max FROM agent_organizations WHERE organization_id = %(organization)s)
          FROM agent_runs
         WHERE organization_id = %(organization)s AND id <> %(id)s AND ended_at IS NULL
        """,
        {"organization": run.organization_id, "id": run.id, "number": run.number},
    )
    row = await rows.fetchone()
    assert row is not None
    before, own_max = row
    most: int = running_max if own_max is None else own_max
    return bool(before < most)
