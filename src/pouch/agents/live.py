"""What every page says about an organization's runs that are under way."""

from uuid import UUID

from pouch.agents.types import AT_WORK
from pouch.base.database import Connection
from pouch.base.money import Money
from pouch.web.filters import dollars


async def spending_words(db: Connection, organization_id: UUID) -> str:
    """Such as "2, $10.00 an hour" of running time; nothing when nothing is under way."""
    rows = await db.execute(
        """
        SELECT count(*), coalesce(sum(price_nanos_per_hour) FILTER (WHERE state = 'running'), 0)::bigint
          FROM agent_runs
         WHERE organization_id = %s AND ended_at IS NULL AND (state = 'queued' OR state = ANY(%s))
        """,
        (organization_id, list(AT_WORK)),
    )
    ((count, per_hour),) = await rows.fetchall()
    if not count:
        return ""
    return f"{count} · {dollars(Money(per_hour))}/h" if per_hour else str(count)
