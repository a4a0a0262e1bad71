"""Whose customer at the card processor is whose: one row for an organization and a mode."""

from uuid import UUID

from pouch.base.database import Connection
from pouch.payments.types import Mode


async def add_customer(db: Connection, organization_id: UUID, mode: Mode, email: str) -> tuple[str | None, str, int]:
    """The organization's customer at the processor, if known; the address it is, or will be, made with; which it is.

    The first is 0, and each that takes the place of one that the processor did not know any more is one higher.
    """
    await db.execute(
        "INSERT INTO payment_customers (organization_id, mode, email) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (organization_id, mode, email),
    )
    rows = await db.execute(
        "SELECT stripe_id, email, replaced FROM payment_customers WHERE organization_id = %s AND mode = %s",
        (organization_id, mode),
    )
    row = await rows.fetchone()
    assert row is not None
    return row[0], row[1], row[2]


async def forget_customer(db: Connection, organization_id: UUID, mode: Mode, stripe_id: str) -> bool:
    """The processor does not know it any more. False when another one has its place already."""
    forgotten = await db.execute(
        """
        UPDATE payment_customers SET stripe_id = NULL, replaced = replaced + 1
         WHERE organization_id = %s AND mode = %s AND stripe_id = %s
        """,
        (organization_id, mode, stripe_id),
    )
    return forgotten.rowcount == 1


async def find_customer(db: Connection, organization_id: UUID, mode: Mode) -> str | None:
    """The organization's customer at the processor, if it has one."""
    rows = await db.execute(
        "SELECT stripe_id FROM payment_customers WHERE organization_id = %s AND mode = %s", (organization_id, mode)
    )
    row = await rows.fetchone()
    return None if row is None else row[0]


async def owner_of_customer(db: Connection, mode: Mode, stripe_id: str) -> tuple[UUID, str] | None:
    """Whose customer at the processor this is, and the address it was made with."""
    rows = await db.execute(
        "SELECT organization_id, email FROM payment_customers WHERE mode = %s AND stripe_id = %s", (mode, stripe_id)
    )
    row = await rows.fetchone()
    return None if row is None else (row[0], row[1])


async def store_customer(db: Connection, organization_id: UUID, mode: Mode, stripe_id: str) -> str:
    """Keep the first id that is stored, and return it."""
    await db.execute(
        "UPDATE payment_customers SET stripe_id = %s WHERE organization_id = %s AND mode = %s AND stripe_id IS NULL",
        (stripe_id, organization_id, mode),
    )
    return await find_customer(db, organization_id, mode) or stripe_id
