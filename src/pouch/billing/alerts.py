"""Notices about a balance: low, at zero, and a statement each month; one letter for each crossing.

In words. The balance is what is posted, holds not counted. A notice is armed while the balance is at or above its mark;
when the balance is found below, the letter is written and the notice disarmed in one commit; at or above the mark again
it is armed again. An organization that never had credits is told nothing. At zero only the notice of zero is sent.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Connection, Database
from pouch.base.ids import show_id
from pouch.base.money import NANOS_PER_CENT, Money
from pouch.billing.statements import statement_of
from pouch.identity.organizations import owner_addresses
from pouch.mail import outbox
from pouch.web.filters import dollars

ZERO_BELOW = Money(NANOS_PER_CENT)
"""Less than a cent is nothing that can be spent."""
STATEMENTS_MAX = 200
"""The most letters of one round; the next one goes on."""


@dataclass(frozen=True, slots=True)
class Alerts:
    """What an organization wants to be told. `low` is None for no notice of a low balance."""

    low: Money | None = None
    tells_zero: bool = True
    tells_month: bool = True


async def alerts_of(db: Connection, organization_id: UUID) -> Alerts:
    """What the organization chose, or what stands before anybody chose."""
    rows = await db.execute(
        "SELECT low_nanos, tells_zero, tells_month FROM billing_alerts WHERE organization_id = %s", (organization_id,)
    )
    row = await rows.fetchone()
    if row is None:
        return Alerts()
    return Alerts(Money(row[0]) if row[0] is not None else None, row[1], row[2])


async def set_alerts(db: Connection, organization_id: UUID, wanted: Alerts) -> None:
    """Keep what the organization chose. A new mark is armed: below it already, the notice comes once."""
    await db.execute(
        """
        INSERT INTO billing_alerts AS a (organization_id, low_nanos, tells_zero, tells_month, zero_armed)
        VALUES (%(id)s, %(low)s, %(zero)s, %(month)s,
                coalesce((SELECT balance_nanos >= %(cent)s FROM ledger_accounts
                           WHERE organization_id = %(id)s AND kind = 'customer'), false))
        ON CONFLICT (organization_id) DO UPDATE
           SET low_nanos = excluded.low_nanos, tells_zero = excluded.tells_zero, tells_month = excluded.tells_month,
               low_armed = CASE WHEN a.low_nanos IS DISTINCT FROM excluded.low_nanos THEN true ELSE a.low_armed END
        """,
        {
            "id": organization_id,
            "low": wanted.low.nanos if wanted.low else None,
            "zero": wanted.tells_zero,
            "month": wanted.tells_month,
            "cent": ZERO_BELOW.nanos,
        },
    )


_WATCH = """
INSERT INTO billing_alerts (organization_id)
SELECT organization_id FROM ledger_accounts
 WHERE kind = 'customer' AND balance_nanos >= %s
ON CONFLICT DO NOTHING
"""
_ARM = """
UPDATE billing_alerts AS w
   SET low_armed = w.low_armed OR a.balance_nanos >= w.low_nanos,
       zero_armed = w.zero_armed OR a.balance_nanos >= %(cent)s
  FROM ledger_accounts AS a
 WHERE a.organization_id = w.organization_id AND a.kind = 'customer'
   AND (NOT w.low_armed AND a.balance_nanos >= w.low_nanos OR NOT w.zero_armed AND a.balance_nanos >= %(cent)s)
"""
_CROSSED = """
UPDATE billing_alerts AS w
   SET crossings = w.crossings + 1, zero_armed = w.zero_armed AND a.balance_nanos >= %(cent)s,
       low_armed = w.low_armed AND coalesce(a.balance_nanos >= w.low_nanos, true)
  FROM ledger_accounts AS a
 WHERE a.organization_id = w.organization_id AND a.kind = 'customer'
   AND (w.zero_armed AND a.balance_nanos < %(cent)s OR w.low_armed AND a.balance_nanos < w.low_nanos)
RETURNING w.organization_id, a.balance_nanos, a.balance_nanos < %(cent)s, w.tells_zero, w.low_nanos, w.crossings
"""


async def look(db: Connection) -> int:
    """Compare every watched balance with its marks, in the caller's transaction; how many have crossed one."""
    cent = {"cent": ZERO_BELOW.nanos}
    await db.execute(_WATCH, (ZERO_BELOW.nanos,))
    await db.execute(_ARM, cent)
    crossed = await (await db.execute(_CROSSED, cent)).fetchall()
    for organization_id, balance, is_zero, tells_zero, low, crossing in crossed:
        if is_zero and tells_zero:
            await _tell(db, organization_id, "zero_balance", crossing, balance=dollars(Money(balance)))
        elif low is not None and balance < low:
            mark = dollars(Money(low))
            await _tell(db, organization_id, "low_balance", crossing, balance=dollars(Money(balance)), mark=mark)
    return len(crossed)


class Notices:
    """Looks at all balances by the clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self) -> None:
        """One round."""
        async with self._database.transaction() as db:
            await look(db)


class MonthlyStatements:
    """Mails last month's statement to whoever wants it and whose account did something."""

    def __init__(self, database: Database, *, clock: Clock = system_clock) -> None:
        self._database = database
        self._clock = clock

    async def __call__(self) -> None:
        """One round; each organization in a commit of its own, so that a killed round goes on."""
        today = self._clock().astimezone(UTC).date()
        month = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
        async with self._database.transaction() as db:
            due = await _untold(db, month)
        for organization_id in due:
            async with self._database.transaction() as db:
                await tell_month(db, organization_id, month)


async def tell_month(db: Connection, organization_id: UUID, month: date) -> bool:
    """Write the letter of a month's statement once. False when it was told before or nobody wants it."""
    first = await db.execute(
        "INSERT INTO billing_statements_told (organization_id, month) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (organization_id, month),
    )
    if first.rowcount == 0 or not (await alerts_of(db, organization_id)).tells_month:
        return False
    statement = await statement_of(db, organization_id, month)
    for to in await owner_addresses(db, organization_id):
        context = {
            "month": f"{month:%B %Y}",
            "path": f"/billing/statements/{statement.shown_month}",
            "opening": dollars(statement.opening),
            "came": dollars(sum((line.total for line in statement.lines if line.total.nanos > 0), Money(0))),
            "spent": dollars(statement.spent),
            "closing": dollars(statement.closing),
        }
        key = f"statement:{organization_id}:{statement.shown_month}:{to}"
        await outbox.write(db, outbox.Letter(key=key, to=to, kind="statement", context=context))
    return True


async def _tell(db: Connection, organization_id: UUID, kind: str, crossing: int, **context: str) -> None:
    for to in await owner_addresses(db, organization_id):
        key = f"{kind}:{show_id('org', organization_id)}:{crossing}:{to}"
        await outbox.write(db, outbox.Letter(key=key, to=to, kind=kind, context=context))


async def _untold(db: Connection, month: date) -> list[UUID]:
    begins = datetime(month.year, month.month, 1, tzinfo=UTC)
    ends = (begins + timedelta(days=32)).replace(day=1)
    rows = await db.execute(
        """
        SELECT a.organization_id FROM ledger_accounts AS a
         WHERE a.kind = 'customer'
           AND NOT EXISTS (SELECT FROM billing_statements_told AS s
                            WHERE s.organization_id = a.organization_id AND s.month = %(month)s)
           AND EXISTS (SELECT FROM ledger_transfers AS t
                        WHERE t.customer_id = a.id AND t.at >= %(begins)s AND t.at < %(ends)s)
         ORDER BY a.id LIMIT %(limit)s
        """,
        {"month": month, "begins": begins, "ends": ends, "limit": STATEMENTS_MAX},
    )
    return [organization_id for (organization_id,) in await rows.fetchall()]
