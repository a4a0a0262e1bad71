"""The bill of a run: seconds by state, each slice that was charged, tokens by model; it explains every nano-dollar."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pouch.agents.types import Run, RunState
from pouch.base.database import Connection
from pouch.base.ids import show_id
from pouch.base.money import ZERO, Money
from pouch.ledger.limits import Limit, limits_of
from pouch.usage.by_keys import ModelUse, used_with

_SECOND = timedelta(seconds=1)
_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class BilledSlice:
    """A stretch of running time that was set aside, and what of it was charged."""

    number: int
    hold_id: UUID
    from_s: int
    to_s: int
    held: Money
    state: str
    billed_to_s: int | None
    charged: Money
    returned: Money
    """What of that came back, because the fault was ours."""

    @property
    def line_id(self) -> str:
        """The ledger line that charges it."""
        return show_id("line", self.hold_id)


@dataclass(frozen=True, slots=True)
class Bill:
    """What a run cost so far. `time` is to the second, with the minute that has not ended and is not charged."""

    run: Run
    seconds: Mapping[RunState, int]
    slices: tuple[BilledSlice, ...]
    models: tuple[ModelUse, ...]
    limit: Limit | None

    @property
    def time(self) -> Money:
        """Running time."""
        return self.run.time_cost

    @property
    def time_charged(self) -> Money:
        """What of it is charged already."""
        return sum((each.charged - each.returned for each in self.slices), ZERO)

    @property
    def inference(self) -> Money:
        """Models."""
        return sum((each.charged for each in self.models), ZERO)

    @property
    def total(self) -> Money:
        """Both."""
        return self.time + self.inference

    @property
    def held(self) -> Money:
        """What is set aside for it now and comes back if it is not used."""
        return self.limit.held if self.limit is not None else ZERO

    @property
    def not_billed_s(self) -> int:
        """Seconds in states that cost nothing, waiting in line left out."""
        return sum(seconds for state, seconds in self.seconds.items() if state not in {"running", "queued"})

    @property
    def per_hour(self) -> Money:
        """What it spends in an hour at this rate, now."""
        if self.run.state != "running":
            return ZERO
        models = self.inference.nanos * _HOUR_US // max(self.run.ran_us, 60_000_000)
        return self.run.price_per_hour + Money(models)


async def bill_of(db: Connection, run: Run, now: datetime) -> Bill:
    """Work it out."""
    rows = await db.execute(
        "SELECT state, coalesce(ended_at, %s) - began_at FROM agent_run_spans WHERE run_id = %s ORDER BY number",
        (now if run.ended_at is None else run.ended_at, run.id),
    )
    spans: dict[RunState, timedelta] = {}
    for state, length in await rows.fetchall():
        spans[state] = spans.get(state, timedelta()) + max(length, timedelta())
    slices = await db.execute(
        """
        SELECT number, hold_id, from_s, to_s, held_nanos, state, billed_to_s, charged_nanos, returned_nanos
          FROM agent_run_slices WHERE run_id = %s ORDER BY number
        """,
        (run.id,),
    )
    limit = next(iter((await limits_of(db, [run.id])).get(run.id, [])), None)
    return Bill(
        run=run,
        seconds={state: length // _SECOND for state, length in spans.items()},
        slices=tuple(
            BilledSlice(*(*row[:4], Money(row[4]), row[5], row[6], Money(row[7]), Money(row[8])))
            for row in await slices.fetchall()
        ),
        models=tuple(await used_with(db, run.organization_id, await keys_of(db, run.id))),
        limit=limit,
    )


async def keys_of(db: Connection, run_id: UUID) -> list[UUID]:
    """The keys of its attempts."""
    rows = await db.execute(
        "SELECT key_id FROM agent_run_attempts WHERE run_id = %s AND key_id IS NOT NULL ORDER BY epoch", (run_id,)
    )
    return [key_id for (key_id,) in await rows.fetchall()]
