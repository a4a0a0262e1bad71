"""A worker's signs of life: they count a run's time, keep it paid in advance, and say what its person wants.

Rule. A beat counts only while the lease holds. One that comes after the lease has ended, though nobody has taken the
run yet, counts nothing: the worker is fenced, and the run is settled until its last beat.
"""

from dataclasses import dataclass
from datetime import datetime

from pouch.agents import meter
from pouch.agents.claiming import LEASE_S
from pouch.agents.errors import Fenced
from pouch.agents.letters import tell_shares
from pouch.agents.store import lock_run
from pouch.agents.types import Run, Wish
from pouch.base.database import Connection
from pouch.jobs.claims import Claim
from pouch.ledger.operations import Refused


@dataclass(frozen=True, slots=True)
class Beat:
    """How the run is. `refused`: no further time could be set aside; what was set aside before still runs."""

    run: Run
    refused: Refused | None = None

    @property
    def ahead_us(self) -> int:
        """Microseconds of running time that are still set aside."""
        return self.run.held_to_s * 1_000_000 - self.run.ran_us

    @property
    def is_time_up(self) -> bool:
        """Whether the run has run as long as it may."""
        return self.run.ran_s >= self.run.time_limit_s


async def own(db: Connection, claim: Claim) -> tuple[Run, datetime]:
    """Lock the run for the worker that claims to have it. Raises Fenced when it has it no more."""
    found = await lock_run(db, claim.row_id)
    if found is None:
        raise Fenced
    run, at = found
    if run.epoch != claim.epoch or run.lease_until is None or run.lease_until <= at:
        raise Fenced
    return run, at


async def beat(db: Connection, claim: Claim) -> Beat:
    """Count, charge what has ended, set the next slice aside when it is time, renew the lease. Raises Fenced."""
    run, at = await own(db, claim)
    run = meter.counted(run, at)
    await meter.write_counted(db, run)
    refused = None
    if run.state == "running":
        run = await meter.charge_ended(db, run, at)
        if meter.needs_slice(run):
            answer = await meter.set_aside(db, run, at)
            if isinstance(answer, Refused):
                refused = answer
            else:
                run = answer
        await tell_shares(db, run)
    await db.execute(
        "UPDATE agent_runs SET lease_until = %s + make_interval(secs => %s) WHERE id = %s", (at, LEASE_S, run.id)
    )
    return Beat(run, refused)


async def wish_of(db: Connection, claim: Claim) -> Wish:
    """What the run's person wants now. Raises Fenced when the run is somebody else's."""
    rows = await db.execute(
        """
        SELECT wish FROM agent_runs
         WHERE id = %s AND epoch = %s AND lease_until > clock_timestamp()
        """,
        (claim.row_id, claim.epoch),
    )
    row = await rows.fetchone()
    if row is None:
        raise Fenced
    wish: Wish = row[0]
    return wish
