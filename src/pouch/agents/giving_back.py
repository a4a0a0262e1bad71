"""What an attempt's running time cost comes back when it ended by a fault of ours.

In words.

- The faults: something broke in Pouch itself, the work could not be saved, or the gateway stayed away until the agent
  gave up. Each is what we saw ourselves, never what an engine claims. Work that is larger than is kept is no fault of
  ours, and neither is an agent that breaks off.
- One transfer for the whole attempt, with the attempt for its key: asked twice, it comes back once.
- The run then stands where it stood before the attempt, so seconds that run later cost what they would have cost: the
  sum of all charges, less what came back, stays the cost of all seconds that count.
- Calls of models stay paid: their model was used. Against the run's cap what came back still counts as spent.
"""

from dataclasses import replace

from pouch.agents.events import append
from pouch.agents.types import Run
from pouch.base.database import Connection
from pouch.base.money import Money
from pouch.catalog.agent_price import time_cost_nanos
from pouch.ledger.operations import Transfer
from pouch.ledger.posting import post
from pouch.web.filters import exact

_MICROSECONDS = 1_000_000


async def give_back(db: Connection, run: Run, epoch: int) -> Run:
    """Give back what an attempt of a locked, settled run was charged for its time; the run as it stands then."""
    assert run.state != "running", "it is settled first"
    rows = await db.execute(
        "SELECT began_us FROM agent_run_attempts WHERE run_id = %s AND epoch = %s AND began_us IS NOT NULL",
        (run.id, epoch),
    )
    row = await rows.fetchone()
    if row is None:
        return run
    began_us: int = row[0]
    began_s = began_us // _MICROSECONDS
    amount = _cost(run, run.billed_s) - _cost(run, began_s)
    if amount <= 0:
        return run
    note = f"Run {run.number}, seconds {began_s:,} to {run.billed_s:,}: a fault of ours"
    key = f"run:{run.id}:fault:{epoch}"
    await post(db, [Transfer(key, "revenue:agents", run.organization_id, amount, "adjustment", run.id, note)])
    slices = await db.execute(
        "SELECT number, from_s, billed_to_s FROM agent_run_slices WHERE run_id = %s AND billed_to_s > %s",
        (run.id, began_s),
    )
    for number, from_s, to_s in await slices.fetchall():
        await db.execute(
            "UPDATE agent_run_slices SET returned_nanos = %s WHERE run_id = %s AND number = %s AND returned_nanos = 0",
            (_cost(run, to_s) - _cost(run, max(from_s, began_s)), run.id, number),
        )
    await db.execute(
        "UPDATE agent_runs SET ran_us = %s, billed_s = %s, held_to_s = %s WHERE id = %s",
        (began_us, began_s, began_s, run.id),
    )
    text = f"The fault is ours: {exact(Money(amount))} of running time came back."
    await append(db, run.id, [("notice", {"code": "time_returned", "text": text})])
    return replace(run, ran_us=began_us, billed_s=began_s, held_to_s=began_s)


def _cost(run: Run, seconds: int) -> int:
    return time_cost_nanos(seconds, run.price_per_hour.nanos)
