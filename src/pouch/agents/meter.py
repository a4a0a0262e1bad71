"""The meter: what a run's time costs. Set aside before it runs, charged for what ran, never twice, never idle.

In words.

- Only the state `running` counts, and only while a living worker sees it: `ran_us` grows at each beat by the time since
  the beat before. What lies after the last beat of a worker that vanished is nobody's, so it is never charged.
- Time is set aside in **slices** of up to 60 seconds. The first one before a run begins to run, the next one 15 seconds
  before the last one ends. A run's time never counts beyond what is set aside, nor beyond its time limit.
- Each slice is a hold of its own id. It is captured when it has run to its end, or when the run stops running; what of
  it did not run comes back with it. A slice that nothing ran of is released.
- A second is billed when it has run whole. Seconds are cumulative over the whole run, pauses left out: the first n
  seconds cost `time_cost_nanos(n)`, and a slice is charged what they cost at its end less what they cost at its start.
  So the sum of all charges is the cost of all seconds, however often a run was paused, resumed, moved or killed.
- All of it happens under the run's lock, in the transaction that changes the run.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from pouch.agents.types import Run, subjects_of
from pouch.base.database import Connection
from pouch.base.ids import derived_id
from pouch.catalog.agent_price import time_cost_nanos
from pouch.ledger.errors import PostingMismatch
from pouch.ledger.operations import Capture, Captured, Closed, Hold, Mismatch, Refused, Release
from pouch.ledger.posting import post_batch

SLICE_S = 60
EARLY_S = 15
"""How long before a slice ends the next one is set aside, so that a refusal leaves time to save."""
_MICROSECOND = timedelta(microseconds=1)
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of running time that is set aside."""

    number: int
    hold_id: UUID
    from_s: int
    to_s: int
    held_nanos: int


def counted(run: Run, at: datetime) -> Run:
    """The run with the time until `at` counted, if it runs. Never beyond what is set aside or its time limit."""
    if run.state != "running":
        return run
    assert run.seen_at is not None
    elapsed_us = max(0, (at - run.seen_at) // _MICROSECOND)
    most_s = min(run.held_to_s, run.time_limit_s) if run.price_per_hour else run.time_limit_s
    ran_us = max(run.ran_us, min(run.ran_us + elapsed_us, most_s * _MICROSECONDS))
    return replace(run, ran_us=ran_us, seen_at=at)


def needs_slice(run: Run) -> bool:
    """Whether it is time to set the next slice aside."""
    if not run.price_per_hour or run.held_to_s >= run.time_limit_s:
        return False
    return run.held_to_s * _MICROSECONDS - run.ran_us <= EARLY_S * _MICROSECONDS


async def set_aside(db: Connection, run: Run, at: datetime) -> Run | Refused:
    """Hold the next slice; the run with it, or why a budget does not allow it. The run is locked."""
    from_s = run.held_to_s
    to_s = min(from_s + SLICE_S, run.time_limit_s)
    rows = await db.execute("SELECT last_slice FROM agent_runs WHERE id = %s", (run.id,))
    row = await rows.fetchone()
    assert row is not None
    number = row[0] + 1
    price = run.price_per_hour.nanos
    amount = time_cost_nanos(to_s, price) - time_cost_nanos(from_s, price)
    each = Slice(number, derived_id(f"run:{run.id}:time:{number}"), from_s, to_s, amount)
    (answer,) = await post_batch(db, [_hold(run, each)])
    if isinstance(answer, Refused):
        return answer
    if isinstance(answer, Mismatch):
        raise PostingMismatch(answer.reason)
    await db.execute(
        """
        INSERT INTO agent_run_slices (run_id, number, hold_id, from_s, to_s, held_nanos, opened_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        """,
        (run.id, number, each.hold_id, from_s, to_s, amount, at),
    )
    await db.execute("UPDATE agent_runs SET held_to_s = %s, last_slice = %s WHERE id = %s", (to_s, number, run.id))
    return replace(run, held_to_s=to_s)


async def charge_ended(db: Connection, run: Run, at: datetime) -> Run:
    """Charge every slice that has run to its end. The run is locked and counted."""
    return await _close(db, run, [each for each in await _open(db, run.id) if each.to_s <= run.ran_s], at)


async def settle(db: Connection, run: Run, at: datetime) -> Run:
    """Charge what ran and give back what did not: nothing of the run's time is held afterwards. Locked and counted."""
    run = await _close(db, run, await _open(db, run.id), at)
    await db.execute("UPDATE agent_runs SET held_to_s = billed_s WHERE id = %s", (run.id,))
    return replace(run, held_to_s=run.billed_s)


async def write_counted(db: Connection, run: Run) -> None:
    """Write down how long the run has run, and until when it was seen."""
    await db.execute("UPDATE agent_runs SET ran_us = %s, seen_at = %s WHERE id = %s", (run.ran_us, run.seen_at, run.id))


async def _close(db: Connection, run: Run, slices: list[Slice], at: datetime) -> Run:
    price = run.price_per_hour.nanos
    for each in slices:
        until_s = max(each.from_s, min(run.ran_s, each.to_s))
        cost = time_cost_nanos(until_s, price) - time_cost_nanos(each.from_s, price)
        note = f"Run {run.number}, seconds {each.from_s:,} to {until_s:,}"
        hold = _hold(run, each)
        is_charged = until_s > each.from_s
        operation = Capture(hold, cost, "revenue:agents", "agents", run.id, note) if is_charged else Release(hold)
        (answer,) = await post_batch(db, [operation])
        if not isinstance(answer, Captured | Closed):
            raise PostingMismatch(f"slice {each.number} of run {run.id} could not be closed: {answer}")
        await db.execute(
            """
            UPDATE agent_run_slices SET state = %s, billed_to_s = %s, charged_nanos = %s, closed_at = %s
             WHERE run_id = %s AND number = %s AND state = 'open'
            """,
            (
                "captured" if is_charged else "released",
                until_s if is_charged else None,
                answer.charged_nanos if isinstance(answer, Captured) else 0,
                at,
                run.id,
                each.number,
            ),
        )
        if is_charged:
            run = replace(run, billed_s=until_s)
    await db.execute("UPDATE agent_runs SET billed_s = %s WHERE id = %s", (run.billed_s, run.id))
    return run


async def _open(db: Connection, run_id: UUID) -> list[Slice]:
    rows = await db.execute(
        """
        SELECT number, hold_id, from_s, to_s, held_nanos FROM agent_run_slices
         WHERE run_id = %s AND state = 'open' ORDER BY number
        """,
        (run_id,),
    )
    return [Slice(*row) for row in await rows.fetchall()]


def _hold(run: Run, each: Slice) -> Hold:
    # Without a lease: the run's own lease says whether its worker lives, and whoever takes the run then settles it.
    return Hold(each.hold_id, run.organization_id, each.held_nanos, subjects_of(run))
