"""What some keys used, by model: the models' part of a run's bill."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.money import Money


@dataclass(frozen=True, slots=True)
class ModelUse:
    """The calls of one model, added up. `input` leaves cached tokens out, `output` leaves reasoning out."""

    model_id: str
    calls: int
    input: int
    cache_read: int
    cache_write: int
    output: int
    reasoning: int
    charged: Money


async def calls_with(db: Connection, organization_id: UUID, key_ids: Sequence[UUID]) -> list[tuple[datetime, Money]]:
    """When each call ended, and what it cost, the first one first."""
    rows = await db.execute(
        """
        SELECT finished_at, charged_nanos FROM usage_calls
         WHERE organization_id = %s AND key_id = ANY(%s) ORDER BY finished_at, id
        """,
        (organization_id, list(key_ids)),
    )
    return [(ended_at, Money(charged)) for ended_at, charged in await rows.fetchall()]


async def used_with(db: Connection, organization_id: UUID, key_ids: Sequence[UUID]) -> list[ModelUse]:
    """By model, the dearest first."""
    rows = await db.execute(
        """
        SELECT model_id, count(*), sum(tokens_input)::bigint, sum(tokens_cache_read)::bigint,
               sum(tokens_cache_write_5m + tokens_cache_write_1h)::bigint, sum(tokens_output)::bigint,
               sum(tokens_reasoning)::bigint, sum(charged_nanos)::bigint
          FROM usage_calls
         WHERE organization_id = %s AND key_id = ANY(%s)
         GROUP BY model_id ORDER BY sum(charged_nanos) DESC, model_id
        """,
        (organization_id, list(key_ids)),
    )
    return [ModelUse(*(*row[:7], Money(row[7]))) for row in await rows.fetchall()]
