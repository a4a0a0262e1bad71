"""Blocks: from the commit that blocks a subject on, nothing can be held on its behalf, in any process."""

from uuid import UUID

from pouch.base.database import Connection


async def block(db: Connection, subject: UUID) -> None:
    """Block a key, run, member or organization, until it is unblocked. Repeating it changes nothing.

    Call it in the transaction that revokes or ends the subject. Holds placed before stay open and are settled.
    """
    await db.execute("INSERT INTO ledger_blocks (subject) VALUES (%s) ON CONFLICT DO NOTHING", (subject,))


async def unblock(db: Connection, subject: UUID) -> None:
    """Let things be held again on behalf of a subject that was only blocked for a while."""
    await db.execute("DELETE FROM ledger_blocks WHERE subject = %s", (subject,))


async def is_blocked(db: Connection, subject: UUID) -> bool:
    """Whether the subject is blocked."""
    found = await db.execute("SELECT 1 FROM ledger_blocks WHERE subject = %s", (subject,))
    return await found.fetchone() is not None
