"""Counting an organization's lines and adding them up, which must give its balance."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.money import ZERO, Money

ANEW_S = 3600.0
"""After so long everything is counted again from the first line."""
KEPT_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Tally:
    """An organization's lines up to and including `seq`, and `posted`, which was its balance at that moment."""

    seq: int = 0
    lines: int = 0
    total: Money = ZERO
    spent: Money = ZERO
    """For calls and agents, ever."""
    month: date = date.min
    spent_in_month: Money = ZERO
    posted: Money = ZERO

    @property
    def agrees(self) -> bool:
        """Whether the lines add up to the balance. Anything else is a fault of the books."""
        return self.total == self.posted


async def add_up(db: Connection, organization_id: UUID, known: Tally, *, now: datetime) -> Tally:
    """Add the lines after those that are known. Lines never change, and an account's are committed in `seq` order."""
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    # One statement, so that the lines and the balance are of one moment.
    rows = await db.execute(
        """
        SELECT a.balance_nanos, max(t.seq), count(t.seq),
               sum(CASE WHEN t.credit_account_id = a.id THEN t.amount_nanos ELSE -t.amount_nanos END)::bigint,
               sum(t.amount_nanos) FILTER (WHERE t.is_spent)::bigint,
               sum(t.amount_nanos) FILTER (WHERE t.is_spent AND t.at >= %(month)s)::bigint
          FROM ledger_accounts AS a
          LEFT JOIN (SELECT *, kind IN ('inference', 'agents') AND debit_account_id = customer_id AS is_spent
                       FROM ledger_transfers) AS t ON t.customer_id = a.id AND t.seq > %(known)s
         WHERE a.organization_id = %(organization)s AND a.kind = 'customer'
         GROUP BY a.id
        """,
        {"organization": organization_id, "known": known.seq, "month": month},
    )
    row = await rows.fetchone()
    if row is None:
        return Tally(month=month.date())
    posted, seq, lines, total, spent, spent_in_month = (number or 0 for number in row)
    before = known.spent_in_month if known.month == month.date() else ZERO
    return Tally(
        seq=max(known.seq, seq),
        lines=known.lines + lines,
        total=known.total + Money(total),
        spent=known.spent + Money(spent),
        month=month.date(),
        spent_in_month=before + Money(spent_in_month),
        posted=Money(posted),
    )


class Tallies:
    """The tallies of one process, so that each look adds only what is new."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[UUID, tuple[float, Tally]] = {}

    async def of(self, db: Connection, organization_id: UUID, *, now: datetime) -> Tally:
        """The organization's tally as it is now."""
        begun, known = self._kept.pop(organization_id, (self._clock(), Tally()))
        if self._clock() - begun > ANEW_S:
            begun, known = self._clock(), Tally()
        tally = await add_up(db, organization_id, known, now=now)
        self._kept[organization_id] = (begun, tally)
        if len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        return tally
