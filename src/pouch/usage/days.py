"""What was used by day, model and key. Whole days are summed up once; the time since is summed when somebody asks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.money import ZERO, Money
from pouch.usage.types import Filter

LATE = timedelta(hours=2)
"""A day is summed up so long after its end: a call is written within seconds of its end, and clocks may differ."""
LONGEST = timedelta(days=1)
"""No call lasts longer; so those that finished after a moment are found by when they started."""

Bucket = Literal["day", "week"]


@dataclass(frozen=True, slots=True)
class Figures:
    """Calls added up. Tokens in include cached ones, tokens out include reasoning."""

    calls: int = 0
    tokens_input: int = 0
    tokens_cached: int = 0
    tokens_output: int = 0
    charged: Money = ZERO


@dataclass(frozen=True, slots=True)
class Usage:
    """What an organization used in a period. A model or key without a call is not there."""

    total: Figures
    models: dict[str, Figures]
    """The dearest first."""
    keys: dict[UUID, Figures]
    """The dearest first."""
    buckets: dict[tuple[date, str], Figures]
    """By the first day of each bucket and model."""


_CACHED = "tokens_cache_read"
_INPUT = "tokens_input + tokens_cache_read + tokens_cache_write_5m + tokens_cache_write_1h"
_OUTPUT = "tokens_output + tokens_reasoning"
_DAY = "(finished_at AT TIME ZONE 'UTC')::date"

_ROLL_UP = f"""
INSERT INTO usage_days
       (organization_id, day, model_id, key_id, calls, tokens_input, tokens_cached, tokens_output, charged_nanos)
SELECT organization_id, {_DAY}, model_id, key_id,
       count(*), sum({_INPUT}), sum({_CACHED}), sum({_OUTPUT}), sum(charged_nanos)
  FROM usage_calls
 WHERE organization_id = %(organization)s
   AND finished_at >= %(until)s AND finished_at < %(end)s AND started_at >= %(started)s
 GROUP BY 1, 2, 3, 4
"""

_USED = f"""
SELECT day, model_id, key_id, calls, tokens_input, tokens_cached, tokens_output, charged_nanos
  FROM usage_days
 WHERE organization_id = %(organization)s AND day >= %(since)s
 UNION ALL
SELECT {_DAY}, model_id, key_id, 1, {_INPUT}, {_CACHED}, {_OUTPUT}, charged_nanos
  FROM usage_calls
 WHERE organization_id = %(organization)s AND started_at >= %(started)s AND finished_at >= %(until)s
"""
# A task's calls are few and have an index; they are not summed up by day.
_USED_OF_TASK = f"""
SELECT {_DAY} AS day, model_id, key_id, 1 AS calls, {_INPUT} AS tokens_input, {_CACHED} AS tokens_cached,
       {_OUTPUT} AS tokens_output, charged_nanos
  FROM usage_calls
 WHERE organization_id = %(organization)s AND task_id = %(task)s AND task_id <> ''
"""
_SUMS = """
sum(calls)::bigint, sum(tokens_input)::bigint, sum(tokens_cached)::bigint, sum(tokens_output)::bigint,
sum(charged_nanos)::bigint
"""


async def usage_since(  # noqa: PLR0913 -- what is asked for, by name
    db: Connection,
    organization_id: UUID,
    *,
    since: date,
    now: datetime,
    wanted: Filter,
    bucket: Bucket = "day",
) -> Usage:
    """Add up the organization's calls since the beginning of a day, UTC, by bucket and model, by model, and by key."""
    until = await sum_up(db, organization_id, now=now)
    source = _USED if wanted.task_id is None else _USED_OF_TASK
    rows = await db.execute(
        f"""
        SELECT grouping(bucket), grouping(key_id), grouping(model_id), bucket, model_id, key_id, {_SUMS}
          FROM (SELECT *, date_trunc(%(bucket)s, day)::date AS bucket FROM ({source}) AS used
                 WHERE day >= %(since)s
                   AND (%(model)s::text IS NULL OR model_id = %(model)s)
                   AND (%(key)s::uuid IS NULL OR key_id = %(key)s)) AS used
         GROUP BY GROUPING SETS ((bucket, model_id), (model_id), (key_id), ())
         ORDER BY sum(charged_nanos) DESC, sum(calls) DESC, model_id, key_id
        """.encode(),
        {
            **_bounds(organization_id, since, until),
            "bucket": bucket,
            "model": wanted.model_id,
            "key": wanted.key_id,
            "task": wanted.task_id,
        },
    )
    total = Figures()
    models: dict[str, Figures] = {}
    keys: dict[UUID, Figures] = {}
    buckets: dict[tuple[date, str], Figures] = {}
    for no_bucket, no_key, no_model, first_day, model_id, key_id, *sums in await rows.fetchall():
        figures = _figures(sums)
        if not no_bucket:
            buckets[first_day, model_id] = figures
        elif not no_model:
            models[model_id] = figures
        elif not no_key:
            keys[key_id] = figures
        else:
            total = figures
    return Usage(total, models, keys, buckets)


async def spent_by_key(db: Connection, organization_id: UUID, *, now: datetime) -> dict[UUID, Money]:
    """What was ever charged to each of the organization's keys. A key without calls is not there."""
    until = await sum_up(db, organization_id, now=now)
    rows = await db.execute(
        f"SELECT key_id, sum(charged_nanos)::bigint FROM ({_USED}) AS used GROUP BY key_id".encode(),
        _bounds(organization_id, _BEGINNING.date(), until),
    )
    return {key_id: Money(nanos) for key_id, nanos in await rows.fetchall()}


@dataclass(frozen=True, slots=True)
class Spent:
    """What was charged to one key: ever, and since the beginning of this day, this week and this month, UTC."""

    ever: Money
    day: Money
    week: Money
    month: Money


async def spent_with(db: Connection, organization_id: UUID, key_id: UUID, *, now: datetime) -> Spent:
    """What was charged to a key so far. Weeks start on Monday."""
    until = await sum_up(db, organization_id, now=now)
    today = now.astimezone(UTC).date()
    rows = await db.execute(
        f"""
        SELECT sum(charged_nanos)::bigint,
               sum(charged_nanos) FILTER (WHERE day >= %(day)s)::bigint,
               sum(charged_nanos) FILTER (WHERE day >= %(week)s)::bigint,
               sum(charged_nanos) FILTER (WHERE day >= %(month)s)::bigint
          FROM ({_USED}) AS used WHERE key_id = %(key)s
        """.encode(),
        {
            **_bounds(organization_id, _BEGINNING.date(), until),
            "key": key_id,
            "day": today,
            "week": today - timedelta(days=today.weekday()),
            "month": today.replace(day=1),
        },
    )
    (row,) = await rows.fetchall()
    return Spent(*(Money(nanos or 0) for nanos in row))


@dataclass(frozen=True, slots=True)
class DayOfModel:
    """What was used of one model on one day."""

    day: date
    model_id: str
    figures: Figures


async def days_of_models(
    db: Connection, organization_id: UUID, *, since: date, end: date, now: datetime
) -> list[DayOfModel]:
    """What was used of each model on each day from `since` on and before `end`, the newest day first."""
    until = await sum_up(db, organization_id, now=now)
    rows = await db.execute(
        f"""
        SELECT day, model_id, {_SUMS} FROM ({_USED}) AS used
         WHERE day >= %(since)s AND day < %(end)s
         GROUP BY day, model_id ORDER BY day DESC, model_id
        """.encode(),
        {**_bounds(organization_id, since, until), "end": end},
    )
    return [DayOfModel(day, model_id, _figures(sums)) for day, model_id, *sums in await rows.fetchall()]


async def sum_up(db: Connection, organization_id: UUID, *, now: datetime) -> datetime:
    """Bring `usage_days` up to the last whole day, and say up to when it counts. Repeating it changes nothing."""
    end = (now.astimezone(UTC) - LATE).replace(hour=0, minute=0, second=0, microsecond=0)
    until = await _until(db, organization_id)
    if until is not None and until >= end:
        return until
    await db.execute(
        "INSERT INTO usage_days_until VALUES (%s, %s) ON CONFLICT DO NOTHING", (organization_id, _BEGINNING)
    )
    # Of two at the same time, one sums up and the other waits here and finds it done.
    until = await _until(db, organization_id, " FOR UPDATE")
    assert until is not None
    if until >= end:
        return until
    await db.execute(
        _ROLL_UP.encode(),
        {"organization": organization_id, "until": until, "end": end, "started": until - LONGEST},
    )
    await db.execute("UPDATE usage_days_until SET until = %s WHERE organization_id = %s", (end, organization_id))
    return end


_BEGINNING = datetime(2020, 1, 2, tzinfo=UTC)


def _bounds(organization_id: UUID, since: date, until: datetime) -> dict[str, object]:
    return {"organization": organization_id, "since": since, "until": until, "started": until - LONGEST}


async def _until(db: Connection, organization_id: UUID, lock: str = "") -> datetime | None:
    rows = await db.execute(
        f"SELECT until FROM usage_days_until WHERE organization_id = %s{lock}".encode(), (organization_id,)
    )
    row = await rows.fetchone()
    return row[0] if row is not None else None


def _figures(sums: Sequence[int | None]) -> Figures:
    calls, tokens_input, tokens_cached, tokens_output, charged = (number or 0 for number in sums)
    return Figures(calls, tokens_input, tokens_cached, tokens_output, Money(charged))
