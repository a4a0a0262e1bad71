"""Builders for finished calls."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.catalog.types import Counts
from pouch.ledger.operations import Answer, Captured, Recorded
from pouch.usage.store import write_batch
from pouch.usage.types import Call, Outcome

NOW = datetime(2026, 11, 24, 14, 31, tzinfo=UTC)
"""A Tuesday."""


def a_call(
    organization_id: UUID,
    *,
    cost: str = "0",
    ended: datetime = NOW,
    lasted: timedelta = timedelta(seconds=3),
    model: str = "pouch/paid",
    key_id: UUID | None = None,
    counts: Counts | None = None,
    held: str = "0.50",
    outcome: Outcome = "done",
    price_id: UUID | None = None,
    charged: str | None = None,
    task: str = "",
    app: str = "",
) -> Call:
    """One call as it would be read back: charged what it cost unless said otherwise."""
    return Call(
        id=new_id(),
        organization_id=organization_id,
        person_id=new_id(),
        key_id=key_id or new_id(),
        model_id=model,
        upstream_id="test",
        price_id=price_id,
        counts=counts or Counts(input=10, output=5),
        cost_nanos=Money.parse(cost).nanos,
        held_nanos=Money.parse(held).nanos,
        is_estimated=False,
        is_streamed=True,
        outcome=outcome,
        started_at=ended - lasted,
        finished_at=ended,
        charged_nanos=Money.parse(cost if charged is None else charged).nanos,
        app=app,
        task_id=task,
    )


async def write(db: Connection, *calls: Call) -> None:
    """Write the calls as the ledger's writer would, without the ledger."""
    records: list[tuple[object, Answer]] = [
        (call, Captured(call.charged_nanos, call.cost_nanos - call.charged_nanos) if call.cost_nanos else Recorded())
        for call in calls
    ]
    await write_batch(db, records)
