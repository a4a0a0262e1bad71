"""The doorbell: tell a worker that a row has something to do."""

from typing import Literal, get_args
from uuid import UUID

from pouch.base.database import Connection
from pouch.jobs import engine

Lane = Literal["short", "mail", "agents", "publishing"]
"""Which workers hear the bell. Mail has its own lane, so that a relay that hangs never delays a payment; so has what
brings the work of agents to where it belongs, so that it never waits for an agent."""
LANES: tuple[Lane, ...] = get_args(Lane)


async def ring(db: Connection, kind: str, row_id: UUID, lane: Lane = "short") -> None:
    """Have the handler of `kind` called with `row_id` soon after the caller's transaction commits.

    Part of the caller's transaction: rolled back, nobody hears it. Ringing twice for a waiting row rings once. Ring
    last: a second ring for the same row waits until the first one's transaction ends. Needs no open worker pool, so
    `serve` may call it.
    """
    await engine.defer(db, kind=kind, row_id=row_id, lane=lane)
