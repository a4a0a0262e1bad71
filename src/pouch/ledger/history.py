"""What changed an organization's balance, and what it was at any time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.ids import derived_id
from pouch.base.money import ZERO, Money
from pouch.ledger.accounts import SYSTEM_ACCOUNT_IDS
from pouch.ledger.operations import SystemAccount, TransferKind

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


@dataclass(frozen=True, slots=True)
class Entry:
    """A transfer with the kinds of its two accounts, as the operator reads it."""

    id: UUID
    at: datetime
    kind: TransferKind
    debit: str
    credit: str
    amount: Money
    note: str


async def lines_of_cause(db: Connection, cause: UUID) -> list[Entry]:
    """Every transfer that one thing has caused, oldest first, those between the operator's own accounts among them."""
    rows = await db.execute(
        """
        SELECT t.id, t.at, t.kind, d.kind, c.kind, t.amount_nanos, t.note
          FROM ledger_transfers AS t
          JOIN ledger_accounts AS d ON d.id = t.debit_account_id
          JOIN ledger_accounts AS c ON c.id = t.credit_account_id
         WHERE t.cause = %s
         ORDER BY t.seq
        """,
        (cause,),
    )
    return [
        Entry(id_, at, kind, debit, credit, Money(amount), note)
        for id_, at, kind, debit, credit, amount, note in await rows.fetchall()
    ]


async def amounts_of(db: Connection, keys: Sequence[str]) -> dict[str, Money]:
    """The amounts of the transfers with these keys; a key that was never posted is not there."""
    ids = {derived_id(key): key for key in keys}
    rows = await db.execute("SELECT id, amount_nanos FROM ledger_transfers WHERE id = ANY(%s)", (list(ids),))
    return {ids[id_]: Money(amount) for id_, amount in await rows.fetchall()}


async def moved_by(db: Connection, account: SystemAccount, causes: Sequence[UUID]) -> dict[UUID, Money]:
    """What each of these things has brought to one of the operator's accounts: negative where it took from it."""
    rows = await db.execute(
        """
        SELECT cause, sum(CASE credit_account_id WHEN %(id)s THEN amount_nanos ELSE -amount_nanos END)::bigint
          FROM ledger_transfers
         WHERE cause = ANY(%(causes)s) AND %(id)s IN (credit_account_id, debit_account_id)
         GROUP BY cause
        """,
        {"id": SYSTEM_ACCOUNT_IDS[account], "causes": list(causes)},
    )
    return {cause: Money(amount) for cause, amount in await rows.fetchall()}


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
