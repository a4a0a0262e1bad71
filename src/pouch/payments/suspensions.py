"""Why an organization's saved cards are not charged by themselves any more, and the end of that.

Disputes and warnings of fraud write here, in their own transaction; the auto top-up reads it before each charge. A
dispute suspends until the bank has decided; a warning until its payment is refunded whole, the bank has decided a
dispute about it, or an operator trusts it. Whatever is owed (`ledger` receivable) suspends it, too, without a row.
"""

from uuid import UUID

from pouch.base.database import Connection


async def suspend(db: Connection, organization_id: UUID, *, cause: str, reason: str) -> None:
    """Charge no saved card of this organization by itself until `lift` is called with the same cause.

    `cause` names one thing, such as "dispute:dp_123"; `reason` is a sentence for the person. Repeating it, also after
    it was lifted, changes nothing: events come twice and late.
    """
    await db.execute(
        """
        INSERT INTO payment_suspensions (organization_id, cause, reason) VALUES (%s, %s, %s)
        ON CONFLICT (organization_id, cause) DO NOTHING
        """,
        (organization_id, cause, reason),
    )


async def lift(db: Connection, organization_id: UUID, *, cause: str) -> None:
    """The cause is gone for good. It counts even when it was never heard of: a late `suspend` then does nothing."""
    await db.execute(
        """
        INSERT INTO payment_suspensions (organization_id, cause, reason, lifted_at) VALUES (%s, %s, '', now())
        ON CONFLICT (organization_id, cause) DO UPDATE SET lifted_at = coalesce(payment_suspensions.lifted_at, now())
        """,
        (organization_id, cause),
    )


async def note(db: Connection, organization_id: UUID, *, cause: str) -> bool:
    """Remember something that stops charges once and suspends nothing itself. False when it is remembered already."""
    noted = await db.execute(
        """
        INSERT INTO payment_suspensions (organization_id, cause, reason, lifted_at) VALUES (%s, %s, '', now())
        ON CONFLICT (organization_id, cause) DO NOTHING
        """,
        (organization_id, cause),
    )
    return noted.rowcount == 1


async def why_suspended(db: Connection, organization_id: UUID) -> str | None:
    """The oldest reason that still stands, in words for the person; None when there is none."""
    rows = await db.execute(
        """
        SELECT reason FROM payment_suspensions WHERE organization_id = %s AND lifted_at IS NULL ORDER BY at LIMIT 1
        """,
        (organization_id,),
    )
    row = await rows.fetchone()
    return row[0] if row is not None else None
