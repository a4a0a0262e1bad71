"""What changed an organization's balance, and what it was at any time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.money import ZERO, Money
from pouch.ledger.operations import TransferKind

SEQ_MAX = 2**63 - 1
# Not a join: so the index gives the lines in their order, and a page of them costs as much on every account.
_OWN = """t.customer_id = (SELECT id FROM ledger_accounts
                            WHERE organization_id = %(organization)s AND kind = 'customer')"""


@dataclass(frozen=True, slots=True)
class Line:
    """One change of a balance: positive when credits came, negative when they went."""

    seq: int
    id: UUID
    at: datetime
    kind: TransferKind
    amount: Money
    balance_after: Money
    cause: UUID | None
    note: str


async def lines(db: Connection, organization_id: UUID, *, before: int | None = None, limit: int = 50) -> list[Line]:
    """The newest changes first; `before` is the `seq` of the last line of the page before."""
    rows = await db.execute(
        f"""
        SELECT t.seq, t.id, t.at, t.kind,
               CASE WHEN t.credit_account_id = t.customer_id THEN t.amount_nanos ELSE -t.amount_nanos END,
               t.balance_after_nanos, t.cause, t.note
          FROM ledger_transfers AS t
         WHERE {_OWN} AND t.seq < %(before)s
         ORDER BY t.seq DESC
         LIMIT %(limit)s
        """.encode(),
        {"organization": organization_id, "before": SEQ_MAX if before is None else before, "limit": limit},
    )
    return [
        Line(seq, id_, at, kind, Money(amount), Money(after), cause, note)
        for seq, id_, at, kind, amount, after, cause, note in await rows.fetchall()
    ]


async def newest_lines(db: Connection, organization_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The `seq` of the newest change of each of the organizations that has any."""
    rows = await db.execute(
        """
        SELECT a.organization_id, t.seq FROM ledger_accounts AS a
         CROSS JOIN LATERAL (SELECT seq FROM ledger_transfers WHERE customer_id = a.id ORDER BY seq DESC LIMIT 1) AS t
         WHERE a.organization_id = ANY(%s) AND a.kind = 'customer'
        """,
        (list(organization_ids),),
    )
    return dict(await rows.fetchall())


async def balance_at(db: Connection, organization_id: UUID, at: datetime) -> Money:
    """The posted balance as it was at a moment: after every change up to and including that moment."""
    found = await db.execute(
        f"""
        SELECT t.balance_after_nanos FROM ledger_transfers AS t
         WHERE {_OWN} AND t.at <= %(at)s
         ORDER BY t.seq DESC LIMIT 1
        """.encode(),
        {"organization": organization_id, "at": at},
    )
    row = await found.fetchone()
    return Money(row[0]) if row is not None else ZERO
