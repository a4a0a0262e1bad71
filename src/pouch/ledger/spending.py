"""How fast an organization spends: what calls and agents cost, by the hour, of the last week."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.money import ZERO, Money

WEEK = timedelta(days=7)
ANEW_S = 3600.0
"""After so long everything is read again."""
KEPT_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Pace:
    """What was spent since midnight UTC and in the last seven days. `since` is the first of them with a charge."""

    today: Money
    week: Money
    since: datetime | None


@dataclass(slots=True)
class _Hours:
    seq: int
    spent: dict[datetime, int] = field(default_factory=dict)


class Paces:
    """The paces of one process, so that each look adds only the lines that are new."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[UUID, tuple[float, _Hours]] = {}

    async def of(self, db: Connection, organization_id: UUID, *, now: datetime) -> Pace:
        """The organization's pace as it is now."""
        begun, hours = self._kept.pop(organization_id, (self._clock(), None))
        if hours is None or self._clock() - begun > ANEW_S:
            begun, hours = self._clock(), _Hours(await _last_before(db, organization_id, now - WEEK))
        await _add(db, organization_id, hours)
        self._kept[organization_id] = (begun, hours)
        if len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        return _pace(hours, now)


def _pace(hours: _Hours, now: datetime) -> Pace:
    for hour in [hour for hour in hours.spent if hour <= now - WEEK - timedelta(hours=1)]:
        del hours.spent[hour]
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    today = sum(nanos for hour, nanos in hours.spent.items() if hour >= midnight)
    return Pace(Money(today), Money(sum(hours.spent.values())), min(hours.spent, default=None))


async def _last_before(db: Connection, organization_id: UUID, at: datetime) -> int:
    rows = await db.execute(
        """
        SELECT t.seq FROM ledger_transfers AS t
         WHERE t.customer_id = (SELECT id FROM ledger_accounts WHERE organization_id = %s AND kind = 'customer')
           AND t.at < %s
         ORDER BY t.seq DESC LIMIT 1
        """,
        (organization_id, at),
    )
    row = await rows.fetchone()
    return row[0] if row else 0


async def _add(db: Connection, organization_id: UUID, hours: _Hours) -> None:
    rows = await db.execute(
        """
        SELECT date_trunc('hour', t.at, 'UTC'), max(t.seq),
               coalesce(sum(t.amount_nanos) FILTER (
                   WHERE t.kind IN ('inference', 'agents') AND t.debit_account_id = t.customer_id), 0)::bigint
          FROM ledger_transfers AS t
         WHERE t.customer_id = (SELECT id FROM ledger_accounts WHERE organization_id = %s AND kind = 'customer')
           AND t.seq > %s
         GROUP BY 1
        """,
        (organization_id, hours.seq),
    )
    for hour, seq, nanos in await rows.fetchall():
        hours.seq = max(hours.seq, seq)
        if nanos:
            hours.spent[hour] = hours.spent.get(hour, ZERO.nanos) + nanos
