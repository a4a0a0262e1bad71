"""Builders for the ledger's tests."""

from uuid import UUID

from pouch.base.database import Connection
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.ledger.accounts import open_account
from pouch.ledger.grants import grant
from pouch.ledger.operations import Hold


async def account_with(db: Connection, usd: str) -> UUID:
    """An organization's id; its account holds so many dollars."""
    organization_id = new_id()
    await open_account(db, organization_id)
    if Money.parse(usd):
        await grant(db, organization_id, Money.parse(usd), key=str(organization_id), note="A test's start")
    return organization_id


def hold_of(organization_id: UUID, usd: str, *subjects: UUID, lease_id: UUID | None = None) -> Hold:
    """A hold that is not placed yet."""
    return Hold(new_id(), organization_id, Money.parse(usd).nanos, subjects, lease_id)


def nanos(usd: str) -> int:
    """Dollars as nano-dollars."""
    return Money.parse(usd).nanos
