"""What an hour of an agent's running time costs: dated, added, never changed."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.ids import new_id
from pouch.base.money import Money

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class AgentPrice:
    """The price of running time from a moment on. Zero is free."""

    id: UUID
    per_hour: Money
    effective_at: datetime


def time_cost_nanos(seconds: int, nanos_per_hour: int) -> int:
    """What so many seconds of running time cost in all, in nano-dollars.

    In words: seconds times the price of an hour, divided by 3,600 once, rounded up to one nano. It is cumulative: a
    further minute costs what all seconds with it cost, less what all seconds before it cost, so nothing adds up.
    """
    return -(-seconds * nanos_per_hour // SECONDS_PER_HOUR)


async def agent_price(db: Connection) -> AgentPrice | None:
    """The price in force. None before the first `apply`."""
    rows = await db.execute(
        """
        SELECT id, nanos_per_hour, effective_at FROM catalog_agent_prices
         WHERE effective_at <= clock_timestamp() ORDER BY effective_at DESC LIMIT 1
        """
    )
    row = await rows.fetchone()
    return None if row is None else AgentPrice(row[0], Money(row[1]), row[2])


async def set_agent_price(db: Connection, per_hour: Money) -> bool:
    """Date this price from now on, unless it is in force; returns whether it is new. Call it under `apply`'s lock."""
    now = await agent_price(db)
    if now is not None and now.per_hour == per_hour:
        return False
    await db.execute(
        """
        INSERT INTO catalog_agent_prices (id, effective_at, nanos_per_hour)
        SELECT %s, greatest(clock_timestamp(), max(effective_at) + interval '1 microsecond'), %s
          FROM catalog_agent_prices
        """,
        (new_id(), per_hour.nanos),
    )
    return True
