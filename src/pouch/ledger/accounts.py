"""Accounts: where dollars can be, and what an organization has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.money import ZERO, Money
from pouch.ledger.operations import SystemAccount, debt_payment_id

SYSTEM_ACCOUNT_IDS: dict[SystemAccount, int] = {
    kind: number for number, kind in enumerate(get_args(SystemAccount), start=1)
}
"""The ids under which the migration made them."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What an organization has. available = posted - held; debt is what it owes, as a positive amount."""

    posted: Money
    held: Money
    debt: Money

    @property
    def available(self) -> Money:
        """What can be spent now."""
        return self.posted - self.held


async def open_account(db: Connection, organization_id: UUID) -> None:
    """Give an organization its customer account, empty. Repeating it changes nothing."""
    await db.execute(
        """
        INSERT INTO ledger_accounts (kind, organization_id) VALUES ('customer', %s)
        ON CONFLICT ON CONSTRAINT ledger_accounts_one_per_kind DO NOTHING
        """,
        (organization_id,),
    )


async def open_receivable(db: Connection, organization_id: UUID) -> None:
    """Give an organization the account its debts fall on. Repeating it changes nothing."""
    await db.execute(
        """
        INSERT INTO ledger_accounts (kind, organization_id) VALUES ('receivable', %s)
        ON CONFLICT ON CONSTRAINT ledger_accounts_one_per_kind DO NOTHING
        """,
        (organization_id,),
    )


async def balance(db: Connection, organization_id: UUID) -> Balance:
    """What the organization has now. An organization without an account has nothing."""
    rows = await db.execute(
        "SELECT kind, balance_nanos, held_nanos FROM ledger_accounts WHERE organization_id = %s", (organization_id,)
    )
    found: dict[str, tuple[int, int]] = {kind: (posted, held) for kind, posted, held in await rows.fetchall()}
    posted, held = found.get("customer", (0, 0))
    owed, _ = found.get("receivable", (0, 0))
    return Balance(Money(posted), Money(held), Money(-owed))


async def balances_of(db: Connection, organization_ids: Sequence[UUID]) -> dict[UUID, Balance]:
    """What each of the organizations has. One without an account is not there."""
    rows = await db.execute(
        """
        SELECT organization_id, sum(balance_nanos) FILTER (WHERE kind = 'customer')::bigint, sum(held_nanos)::bigint,
               coalesce(-sum(balance_nanos) FILTER (WHERE kind = 'receivable'), 0)::bigint
          FROM ledger_accounts WHERE organization_id = ANY(%s)
         GROUP BY organization_id
        """,
        (list(organization_ids),),
    )
    return {
        organization_id: Balance(Money(posted), Money(held), Money(debt))
        for organization_id, posted, held, debt in await rows.fetchall()
    }


async def totals(db: Connection) -> Balance:
    """What all organizations have together: what the operator owes in calls, and what is owed to the operator."""
    rows = await db.execute(
        """
        SELECT coalesce(sum(balance_nanos) FILTER (WHERE kind = 'customer'), 0)::bigint,
               coalesce(sum(held_nanos), 0)::bigint,
               coalesce(-sum(balance_nanos) FILTER (WHERE kind = 'receivable'), 0)::bigint
          FROM ledger_accounts WHERE organization_id IS NOT NULL
        """
    )
    row = await rows.fetchone()
    assert row is not None
    return Balance(Money(row[0]), Money(row[1]), Money(row[2]))


async def debt_paid_by(db: Connection, key: str) -> Money:
    """How much of the transfer with this key went to what the organization owed."""
    rows = await db.execute("SELECT amount_nanos FROM ledger_transfers WHERE id = %s", (debt_payment_id(key),))
    row = await rows.fetchone()
    return Money(row[0]) if row is not None else ZERO


async def lock(db: Connection, organization_id: UUID) -> Balance:
    """What the organization has, locked until the transaction ends: nothing of it is spent or held meanwhile.

    Locks in the order in which `post` does, so that the caller may post afterwards.
    """
    rows = await db.execute(
        """
        SELECT kind, balance_nanos, held_nanos FROM ledger_accounts
         WHERE organization_id = %s ORDER BY id FOR NO KEY UPDATE
        """,
        (organization_id,),
    )
    found: dict[str, tuple[int, int]] = {kind: (posted, held) for kind, posted, held in await rows.fetchall()}
    posted, held = found.get("customer", (0, 0))
    owed, _ = found.get("receivable", (0, 0))
    return Balance(Money(posted), Money(held), Money(-owed))


async def available_of(db: Connection, organization_ids: Sequence[UUID]) -> dict[UUID, Money]:
    """What each of the organizations can spend now. One without an account is not there."""
    rows = await db.execute(
        """
        SELECT organization_id, balance_nanos - held_nanos FROM ledger_accounts
         WHERE organization_id = ANY(%s) AND kind = 'customer'
        """,
        (list(organization_ids),),
    )
    return {organization_id: Money(nanos) for organization_id, nanos in await rows.fetchall()}
