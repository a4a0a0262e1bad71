"""Tickets: a person lets one editor in, from the browser, within a minute and once.

A ticket belongs to the `state` that the editor made up and to the session in which the person pressed the button. What
opens it is the signature of its row (`SignedIds`), so a copy of the database lets nobody in.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.errors import Conflict, NotFound, PouchError
from pouch.base.ids import new_id
from pouch.base.languages import say
from pouch.identity.devices import add_device, new_secret
from pouch.identity.types import DeviceId, OrganizationId, PersonId, SessionId
from pouch.web.viewer import Viewer

PURPOSE = "editor-ticket"
LIFETIME_S = 60
FORGET_AFTER_DAYS = 7


class TicketEnded(PouchError):
    """The ticket was used, is too old, or was never ours; it never says which."""

    code = "ticket_ended"
    status = 401

    def __init__(self) -> None:
        super().__init__("This sign-in has ended. Start it again in the editor.")


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket, for the page of the person who gave it."""

    id: UUID
    name: str
    callback_url: str
    """Where the editor takes it, but for the code."""
    expires_at: datetime
    is_open: bool
    is_used: bool


async def give_ticket(  # noqa: PLR0913 -- three by position, the rest by name
    db: Connection, viewer: Viewer, organization_id: OrganizationId, *, state: str, name: str, callback_url: str
) -> UUID:
    """Let an editor in on behalf of an organization that the person belongs to. Returns the ticket's id.

    Pressed again for the same `state`, it replaces the ticket that is not used yet. Raises NotFound for a foreign
    organization, and Conflict when the state was used, or is somebody else's.
    """
    person_id, session_id = PersonId(viewer.person_id), SessionId(viewer.session_id)
    member = await db.execute(
        "SELECT 1 FROM identity_memberships WHERE person_id = %s AND organization_id = %s", (person_id, organization_id)
    )
    if await member.fetchone() is None:
        raise NotFound(say("You do not belong to this organization."))
    given = await db.execute(
        """
        INSERT INTO identity_tickets AS t
               (id, state_hash, person_id, session_id, organization_id, name, callback_url, expires_at)
        VALUES (%(id)s, %(state)s, %(person)s, %(session)s, %(organization)s, %(name)s, %(url)s,
                now() + make_interval(secs => %(lifetime)s))
        ON CONFLICT (state_hash) DO UPDATE
           SET id = excluded.id, organization_id = excluded.organization_id, name = excluded.name,
               callback_url = excluded.callback_url, created_at = now(), expires_at = excluded.expires_at
         WHERE t.used_at IS NULL AND t.person_id = excluded.person_id AND t.session_id = excluded.session_id
        RETURNING id
        """,
        {
            "id": new_id(),
            "state": sha256(state.encode()).digest(),
            "person": person_id,
            "session": session_id,
            "organization": organization_id,
            "name": name,
            "url": callback_url,
            "lifetime": LIFETIME_S,
        },
    )
    row = await given.fetchone()
    if row is None:
        raise Conflict(say("This sign-in was finished before. Start a new one in the editor."))
    ticket_id: UUID = row[0]
    return ticket_id


async def find_ticket(db: Connection, viewer: Viewer, ticket_id: UUID) -> Ticket:
    """A ticket that was given in this session. Raises NotFound."""
    rows = await db.execute(
        """
        SELECT id, name, callback_url, expires_at, used_at IS NULL AND expires_at > now(), used_at IS NOT NULL
          FROM identity_tickets WHERE id = %s AND person_id = %s AND session_id = %s
        """,
        (ticket_id, viewer.person_id, viewer.session_id),
    )
    row = await rows.fetchone()
    if row is None:
        raise NotFound(say("There is no such sign-in."))
    return Ticket(*row)


async def use_ticket(db: Connection, ticket_id: UUID, *, program: str, address: str) -> tuple[DeviceId, str]:
    """Let the editor in that shows a ticket: its device and its secret. Of several at once one goes through.

    Raises TicketEnded, also when the person signed out of the session in which they gave it.
    """
    used = await db.execute(
        """
        UPDATE identity_tickets t SET used_at = now()
         WHERE id = %s AND used_at IS NULL AND expires_at > now()
           AND EXISTS (SELECT FROM identity_sessions WHERE id = t.session_id AND revoked_at IS NULL)
           AND EXISTS (SELECT FROM identity_memberships m
                        WHERE m.person_id = t.person_id AND m.organization_id = t.organization_id)
        RETURNING person_id, organization_id, name
        """,
        (ticket_id,),
    )
    row = await used.fetchone()
    if row is None:
        raise TicketEnded
    person_id, organization_id, name = row
    secret = new_secret()
    named = f"{name} · {program}" if program else name
    device_id = await add_device(
        db, person_id, organization_id, kind="editor", name=named, address=address, secret=secret
    )
    await db.execute("UPDATE identity_tickets SET device_id = %s WHERE id = %s", (device_id, ticket_id))
    return device_id, secret


async def forget_old_tickets(db: Connection) -> None:
    """Forget the tickets that ended a week ago or more; by then no editor waits for an answer to its state."""
    await db.execute(
        "DELETE FROM identity_tickets WHERE expires_at < now() - make_interval(days => %s)", (FORGET_AFTER_DAYS,)
    )
