"""The messages that the embedded mail server accepted."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.errors import NotFound
from pouch.base.ids import new_id
from pouch.embedded.mailbox.reading import Readable

KEPT_MAX = 1000
SHOWN_MAX = 100


@dataclass(frozen=True, slots=True)
class Mail:
    """One message in one person's box."""

    id: UUID
    to: str
    sender: str
    subject: str
    text: str
    html: str
    at: datetime


async def keep(db: Connection, message: Readable, *, sender: str, recipients: list[str]) -> None:
    """Put a message into the box of each recipient, and let the oldest of all boxes go."""
    for recipient in recipients:
        await db.execute(
            """
            INSERT INTO embedded_mails (id, to_address, from_address, subject, text, html)
            VALUES (%s, %s, %s, %s, %s, %s)
            """,
            (new_id(), recipient, sender, message.subject, message.text, message.html),
        )
    await db.execute(
        """
        DELETE FROM embedded_mails
         WHERE seq <= (SELECT seq FROM embedded_mails ORDER BY seq DESC OFFSET %s LIMIT 1)
        """,
        (KEPT_MAX,),
    )


async def newest(db: Connection, *, to: str | None = None, limit: int = SHOWN_MAX) -> list[Mail]:
    """The newest messages, of one address or of all."""
    found = await db.execute(
        """
        SELECT id, to_address, from_address, subject, text, html, at
          FROM embedded_mails
         WHERE %(to)s::text IS NULL OR lower(to_address) = lower(%(to)s)
         ORDER BY seq DESC
         LIMIT %(limit)s
        """,
        {"to": to, "limit": limit},
    )
    return [Mail(*row) for row in await found.fetchall()]


async def find(db: Connection, mail_id: UUID | None) -> Mail:
    """One message. Raises NotFound, also for one that had to make room."""
    found = await db.execute(
        "SELECT id, to_address, from_address, subject, text, html, at FROM embedded_mails WHERE id = %s", (mail_id,)
    )
    row = await found.fetchone()
    if row is None:
        raise NotFound("This message is not there, or no longer: the mailbox keeps the newest thousand.")
    return Mail(*row)
