"""Reading runs."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from psycopg.rows import TupleRow

from pouch.agents.types import Run
from pouch.base.database import Connection
from pouch.base.errors import NotFound
from pouch.base.languages import say
from pouch.base.money import Money

TABLE = "agent_runs"

_COLUMNS = """
id, organization_id, person_id, number, trigger, retry_of, kind, title, task, prompt, model_id, engine, repository,
branch, environment_id, price_nanos_per_hour, cap_nanos, time_limit_s, state, reason, wish, created_at, state_since,
ended_at, result, ran_us, seen_at, held_to_s, billed_s, last_seq, epoch, lease_until, key_id
"""


async def find_run(db: Connection, organization_id: UUID, run_id: UUID) -> Run:
    """One run of this organization. Raises NotFound for everybody else's."""
    run = await _one(db, "organization_id = %s AND id = %s", (organization_id, run_id))
    if run is None:
        raise NotFound(say("There is no such run."))
    return run


async def read_run(db: Connection, run_id: UUID) -> Run | None:
    """One run, whoever's it is: for workers, and for links that were shared."""
    return await _one(db, "id = %s", (run_id,))


async def lock_run(db: Connection, run_id: UUID) -> tuple[Run, datetime] | None:
    """Lock a run until the transaction ends; with the time read after, so that it never runs backwards for one run."""
    run = await _one(db, "id = %s FOR NO KEY UPDATE", (run_id,))
    return None if run is None else (run, await clock(db))


async def clock(db: Connection) -> datetime:
    """The database's time at this moment."""
    row = await (await db.execute("SELECT clock_timestamp()")).fetchone()
    assert row is not None
    at: datetime = row[0]
    return at


async def list_runs(
    db: Connection,
    organization_id: UUID,
    *,
    states: Sequence[str] | None = None,
    before: int | None = None,
    limit: int,
) -> list[Run]:
    """The newest runs first; `before` is the number of the last one of the page before."""
    conditions, values = ["organization_id = %(organization)s"], {"organization": organization_id, "limit": limit}
    asked: dict[str, object] = dict(values)
    if states is not None:
        conditions.append("state = ANY(%(states)s)")
        asked["states"] = list(states)
    if before is not None:
        conditions.append("number < %(before)s")
        asked["before"] = before
    rows = await db.execute(
        f"SELECT {_COLUMNS} FROM agent_runs WHERE {' AND '.join(conditions)} "
        "ORDER BY number DESC LIMIT %(limit)s".encode(),
        asked,
    )
    return [_run(row) for row in await rows.fetchall()]


async def count_runs(db: Connection, organization_id: UUID) -> int:
    """How many runs an organization ever started."""
    rows = await db.execute("SELECT count(*) FROM agent_runs WHERE organization_id = %s", (organization_id,))
    row = await rows.fetchone()
    return row[0] if row else 0


async def _one(db: Connection, where: str, values: tuple[object, ...]) -> Run | None:
    rows = await db.execute(f"SELECT {_COLUMNS} FROM agent_runs WHERE {where}".encode(), values)
    row = await rows.fetchone()
    return None if row is None else _run(row)


def _run(row: TupleRow) -> Run:
    # The columns stand in the order of the fields.
    before, price, cap, after = row[:15], row[15], row[16], row[17:]
    return Run(*(*before, Money(price), Money(cap), *after))
