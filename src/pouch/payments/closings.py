"""The rows of organizations whose account was deleted: what is left to do about them at the card processor."""

from datetime import datetime
from uuid import UUID

from pouch.base.database import Connection
from pouch.identity.people import get_person
from pouch.identity.types import PersonId
from pouch.jobs.doorbell import ring
from pouch.payments import card_rows

TABLE = "payment_closings"
JOB = "payments.closing"


async def forget_person(db: Connection, person_id: PersonId) -> None:
    """Remove the cards of somebody who deletes their account, and write down what the processor must end.

    From this commit on nothing is charged and no payment page is made; `farewells` does the rest.
    """
    person = await get_person(db, person_id)
    if person is not None:
        await close(db, person.organization_id)


async def close(db: Connection, organization_id: UUID) -> None:
    """The same for an organization. Repeating it changes nothing. The sweep finds the row, so nobody rings."""
    await card_rows.lock_cards(db, organization_id)
    for card in await card_rows.every_card(db, organization_id):
        await card_rows.remove_card(db, card)
    await db.execute("INSERT INTO payment_closings (id) VALUES (%s) ON CONFLICT DO NOTHING", (organization_id,))


async def closed_at(db: Connection, organization_id: UUID) -> datetime | None:
    """When the organization's account was deleted; None while it is there."""
    rows = await db.execute("SELECT closed_at FROM payment_closings WHERE id = %s", (organization_id,))
    row = await rows.fetchone()
    return None if row is None else row[0]


async def wake(db: Connection, organization_id: UUID) -> bool:
    """Something has come for an organization after all. False when its account is there: then nothing is to be done.

    Whoever is at the row right now loses it, so that what has just come is not overlooked.
    """
    moved = await db.execute(
        """
        UPDATE payment_closings
           SET state = 'closing', due_at = now(), lease_until = NULL, attempts = 0, epoch = epoch + 1 WHERE id = %s
        """,
        (organization_id,),
    )
    if moved.rowcount == 0:
        return False
    await ring(db, JOB, organization_id)
    return True
