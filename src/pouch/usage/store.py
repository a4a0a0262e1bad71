"""The table of calls: written in the commit that charges them, read by id and newest first."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from psycopg.rows import TupleRow

from pouch.base.arrays import bools, int8s, texts, times, uuids
from pouch.base.database import Connection
from pouch.base.trips import Executor
from pouch.catalog.types import Counts
from pouch.ledger.operations import Answer, Captured
from pouch.usage.types import EVERY_CALL, Call, Filter

_COUNTED = (
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
    "image",
    "audio_minute",
    "search",
)
_COLUMNS = (
    "tokens_input, tokens_output, tokens_cache_read, tokens_cache_write_5m, tokens_cache_write_1h, tokens_reasoning, "
    "images, audio_minutes, searches"
)
_INSERT = f"""
INSERT INTO usage_calls
       (id, organization_id, person_id, key_id, model_id, upstream_id, price_id, {_COLUMNS},
        cost_nanos, charged_nanos, held_nanos, is_estimated, is_streamed, outcome, started_at, finished_at,
        app, task_id)
SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::uuid[],
              {", ".join(["%s::bigint[]"] * len(_COUNTED))},
              %s::bigint[], %s::bigint[], %s::bigint[], %s::boolean[], %s::boolean[], %s::text[],
              %s::timestamptz[], %s::timestamptz[], %s::text[], %s::text[])
ON CONFLICT ON CONSTRAINT usage_calls_once DO NOTHING
"""


async def write_batch(db: Executor, records: Sequence[tuple[object, Answer]]) -> None:
    """Write the calls of a ledger batch, in its transaction. A call that is known already is left as it is.

    Each record is a `Call`; the answer beside it says what the ledger charged for it.
    """
    calls: list[Call] = []
    charged: list[int] = []
    for record, answer in records:
        assert isinstance(record, Call)
        calls.append(record)
        charged.append(answer.charged_nanos if isinstance(answer, Captured) else 0)
    columns = [
        uuids([call.id for call in calls]),
        uuids([call.organization_id for call in calls]),
        uuids([call.person_id for call in calls]),
        uuids([call.key_id for call in calls]),
        texts([call.model_id for call in calls]),
        texts([call.upstream_id for call in calls]),
        uuids([call.price_id for call in calls]),
        *(int8s([getattr(call.counts, name) for call in calls]) for name in _COUNTED),
        int8s([call.cost_nanos for call in calls]),
        int8s(charged),
        int8s([call.held_nanos for call in calls]),
        bools([call.is_estimated for call in calls]),
        bools([call.is_streamed for call in calls]),
        texts([call.outcome for call in calls]),
        times([call.started_at for call in calls]),
        times([call.finished_at for call in calls]),
        texts([call.app for call in calls]),
        texts([call.task_id for call in calls]),
    ]
    await db.execute(_INSERT.encode(), columns, binary=True)


_SELECT = f"""
SELECT id, organization_id, person_id, key_id, model_id, upstream_id, price_id, {_COLUMNS},
       cost_nanos, held_nanos, is_estimated, is_streamed, outcome, started_at, finished_at, charged_nanos,
       app, task_id
  FROM usage_calls
"""


async def find_calls(db: Connection, organization_id: UUID, call_ids: Sequence[UUID]) -> dict[UUID, Call]:
    """Those of the calls that are the organization's."""
    rows = await db.execute(
        f"{_SELECT} WHERE organization_id = %s AND id = ANY(%s)".encode(), (organization_id, list(call_ids))
    )
    return {row[0]: _call(row) for row in await rows.fetchall()}


async def newest_calls(  # noqa: PLR0913 -- which calls, by name
    db: Connection,
    organization_id: UUID,
    *,
    limit: int,
    wanted: Filter = EVERY_CALL,
    before: UUID | None = None,
    since: datetime | None = None,
) -> list[Call]:
    """The organization's newest calls that are wanted, newest first. `before` is the last one of the page before."""
    conditions = ["organization_id = %(organization)s"]
    if wanted.model_id is not None:
        conditions.append("model_id = %(model)s")
    if wanted.key_id is not None:
        conditions.append("key_id = %(key)s")
    if wanted.task_id is not None:
        # As the index of tasks has it.
        conditions.append("task_id = %(task)s AND task_id <> ''")
    if since is not None:
        conditions.append("started_at >= %(since)s")
    if before is not None:
        conditions.append(
            "(started_at, id) < (SELECT started_at, id FROM usage_calls"
            " WHERE id = %(before)s AND organization_id = %(organization)s)"
        )
    rows = await db.execute(
        f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY started_at DESC, id DESC LIMIT %(limit)s".encode(),
        {
            "organization": organization_id,
            "model": wanted.model_id,
            "key": wanted.key_id,
            "task": wanted.task_id,
            "since": since,
            "before": before,
            "limit": limit,
        },
    )
    return [_call(row) for row in await rows.fetchall()]


async def find_call(db: Connection, organization_id: UUID, call_id: UUID) -> Call | None:
    """One call of this organization. None for everybody else's."""
    return (await find_calls(db, organization_id, [call_id])).get(call_id)


async def models_used(db: Connection, organization_id: UUID) -> list[str]:
    """The models that the organization ever called. Reads one row of the index for each, however many calls."""
    rows = await db.execute(
        """
        WITH RECURSIVE used AS (
            SELECT min(model_id) AS model_id FROM usage_calls WHERE organization_id = %(organization)s
             UNION ALL
            SELECT (SELECT min(model_id) FROM usage_calls
                     WHERE organization_id = %(organization)s AND model_id > used.model_id)
              FROM used WHERE used.model_id IS NOT NULL)
        SELECT model_id FROM used WHERE model_id IS NOT NULL
        """,
        {"organization": organization_id},
    )
    return [model_id for (model_id,) in await rows.fetchall()]


async def newest_of(db: Connection, organization_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """The newest call of each of the organizations that has any."""
    rows = await db.execute(
        """
        SELECT o.id, c.id FROM unnest(%s::uuid[]) AS o (id)
         CROSS JOIN LATERAL (SELECT id FROM usage_calls WHERE organization_id = o.id
                              ORDER BY started_at DESC, id DESC LIMIT 1) AS c
        """,
        (list(organization_ids),),
    )
    return dict(await rows.fetchall())


def _call(row: TupleRow) -> Call:
    # The columns stand in the order of the fields.
    before, counted, after = row[:7], row[7 : 7 + len(_COUNTED)], row[7 + len(_COUNTED) :]
    counts = Counts(**dict(zip(_COUNTED, counted, strict=True)))
    return Call(*(*before, counts, *after))
