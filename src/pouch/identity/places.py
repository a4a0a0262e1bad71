"""From where a person signs in: which browser, on which network."""

from pouch.base.database import Connection
from pouch.identity.types import PersonId

KNOWN_DAYS = 30
"""So long a place stays known after the last sign-in from it."""


async def note_place(db: Connection, person_id: PersonId, *, browser: str, network: str) -> bool:
    """Remember a sign-in. True when it is from a place that the person has not signed in from lately.

    The very first sign-in is from nowhere new: there is nothing to compare it with.
    """
    rows = await db.execute(
        """
        SELECT count(*) = 0 OR bool_or(
                   browser = %(browser)s AND network = %(network)s AND seen_at > now() - make_interval(days => %(days)s)
               )
          FROM identity_places WHERE person_id = %(person)s
        """,
        {"person": person_id, "browser": browser, "network": network, "days": KNOWN_DAYS},
    )
    row = await rows.fetchone()
    await db.execute(
        """
        INSERT INTO identity_places (person_id, browser, network) VALUES (%s, %s, %s)
        ON CONFLICT (person_id, browser, network) DO UPDATE SET seen_at = now()
        """,
        (person_id, browser, network),
    )
    # The one just written stays, so that the next sign-in has something to be compared with.
    await db.execute(
        "DELETE FROM identity_places WHERE person_id = %s AND seen_at < now() - make_interval(days => %s)",
        (person_id, KNOWN_DAYS),
    )
    return row is not None and not row[0]
