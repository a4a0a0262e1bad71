"""A month of an organization's account in a few lines: what it began with, what came and went, what was left."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.errors import NotFound
from pouch.base.money import ZERO, Money
from pouch.ledger.history import balance_at
from pouch.ledger.operations import TransferKind


@dataclass(frozen=True, slots=True)
class StatementLine:
    """All changes of one kind in the month. Credits that came are positive."""

    kind: TransferKind
    count: int
    total: Money


@dataclass(frozen=True, slots=True)
class Statement:
    """The month's account. opening + the lines = closing."""

    month: date
    opening: Money
    lines: list[StatementLine]
    closing: Money

    @property
    def shown_month(self) -> str:
        """As addresses have it: "2026-11"."""
        return f"{self.month:%Y-%m}"

    @property
    def last_day(self) -> date:
        """The month's last day."""
        return next_month(self.month) - timedelta(days=1)

    @property
    def spent(self) -> Money:
        """For calls and agents, as a positive amount."""
        return -sum((line.total for line in self.lines if line.kind in {"inference", "agents"}), ZERO)


def next_month(month: date) -> date:
    """The first day of the month after."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def read_month(text: str) -> date:
    """Read "2026-11". Raises NotFound for what is no month."""
    try:
        month = date.fromisoformat(f"{text}-01") if len(text) == len("2026-11") else None
    except ValueError:
        month = None
    if month is None or not 2000 <= month.year <= 9000:
        raise NotFound("There is no such statement.")
    return month


async def statement_of(db: Connection, organization_id: UUID, month: date) -> Statement:
    """Work out the statement of a month, UTC. Of a month that is not over it says how things are now."""
    begins, ends = _at(month), _at(next_month(month))
    rows = await db.execute(
        """
        SELECT t.kind, count(*),
               sum(CASE WHEN t.credit_account_id = t.customer_id THEN t.amount_nanos ELSE -t.amount_nanos END)::bigint
          FROM ledger_transfers AS t
         WHERE t.customer_id = (SELECT id FROM ledger_accounts WHERE organization_id = %s AND kind = 'customer')
           AND t.at >= %s AND t.at < %s
         GROUP BY t.kind, t.credit_account_id = t.customer_id
         ORDER BY t.credit_account_id = t.customer_id DESC, t.kind
        """,
        (organization_id, begins, ends),
    )
    lines = [StatementLine(kind, count, Money(total)) for kind, count, total in await rows.fetchall()]
    # A line that came at the very first moment belongs to this month.
    opening = await balance_at(db, organization_id, begins - timedelta(microseconds=1))
    return Statement(month, opening, lines, opening + sum((line.total for line in lines), ZERO))


async def months_of(db: Connection, organization_id: UUID, *, now: datetime) -> list[date]:
    """The months since the account's first line, the newest first; the last 36 at most."""
    rows = await db.execute(
        """
        SELECT t.at FROM ledger_transfers AS t
         WHERE t.customer_id = (SELECT id FROM ledger_accounts WHERE organization_id = %s AND kind = 'customer')
         ORDER BY t.seq LIMIT 1
        """,
        (organization_id,),
    )
    row = await rows.fetchone()
    if row is None:
        return []
    month, first = now.astimezone(UTC).date().replace(day=1), row[0].astimezone(UTC).date().replace(day=1)
    found: list[date] = []
    while month >= first and len(found) < 36:
        found.append(month)
        month = (month - timedelta(days=1)).replace(day=1)
    return found


def _at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
