"""Grants: credits that nobody paid for."""

from uuid import UUID

from pouch.base.database import Connection
from pouch.base.money import Money
from pouch.ledger.operations import Posted, Transfer
from pouch.ledger.posting import post


async def grant(db: Connection, organization_id: UUID, amount: Money, *, key: str, note: str) -> bool:
    """Give an organization credits once per key: True when given now, False when the key had given them before.

    Raises PostingMismatch when the key gave another amount or gave it to another organization.
    """
    transfer = Transfer(f"grant:{key}", "promo", organization_id, amount.nanos, "grant", note=note)
    (answer,) = await post(db, [transfer])
    return isinstance(answer, Posted) and not answer.repeated
