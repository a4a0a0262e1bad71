"""Deleting an account: the person is forgotten, the books are not."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from pouch.base.database import Connection
from pouch.base.ids import show_id
from pouch.base.languages import say
from pouch.base.money import ZERO
from pouch.identity import letters
from pouch.identity.devices import revoke_devices
from pouch.identity.errors import CannotClose
from pouch.identity.keys import revoke_key
from pouch.identity.people import get_person
from pouch.identity.sessions import end_sessions
from pouch.identity.types import OrganizationId, Person, PersonId
from pouch.ledger.accounts import balance
from pouch.ledger.blocks import block
from pouch.mail.outbox import forget

Obstacle: TypeAlias = Callable[[Connection, OrganizationId], Awaitable[str | None]]
"""Why an organization's account cannot be deleted now, as a sentence, or None. Rooms above this one have theirs."""

Farewell: TypeAlias = Callable[[Connection, PersonId], Awaitable[None]]
"""Forgets what a room above this one keeps about a person."""

_NOBODY = "deleted account"


async def find_obstacle(db: Connection, person: Person, others: Sequence[Obstacle] = ()) -> str | None:
    """Why this account cannot be deleted now, as a sentence for the person; None when it can."""
    if sentence := await _own_obstacle(db, person):
        return sentence
    for obstacle in others:
        if sentence := await obstacle(db, person.organization_id):
            return sentence
    return None


async def close_account(
    db: Connection, person_id: PersonId, others: Sequence[Obstacle] = (), farewells: Sequence[Farewell] = ()
) -> None:
    """Delete an account: nobody can sign in or call, and name and address are gone. Repeating it changes nothing.

    What the books need stays under the organization's id: purchases, ledger and usage. Raises CannotClose with the
    sentence of `find_obstacle`.
    """
    person = await get_person(db, person_id)
    if person is None:
        return
    # From this commit on nothing can be held for them; what was held an instant ago is settled as always.
    await block(db, person_id)
    if sentence := await find_obstacle(db, person, others):
        raise CannotClose(sentence)
    await _revoke_keys(db, person_id)
    await revoke_devices(db, person_id)
    await end_sessions(db, person_id)
    for farewell in farewells:
        await farewell(db, person_id)
    await forget(db, person.email)
    await letters.tell_account_deleted(db, person)
    await _forget_person(db, person)


async def _own_obstacle(db: Connection, person: Person) -> str | None:
    money = await balance(db, person.organization_id)
    if money.held:
        return say("Calls are under way on this account. Wait until they have ended, or stop them.")
    if money.debt > ZERO:
        return say("This account owes something. Pay it first.")
    if person.is_operator and not await _has_another_operator(db, person.id):
        return say("You are the only operator. Add another one first: pouch user add EMAIL --admin.")
    if name := await _only_owned(db, person.id):
        return say("You are the only owner of %(name)s. Let somebody else own it first.", name=name)
    if await _has_just_moved(db, person.id):
        return say("The e-mail address of this account was changed in the last three days. Wait until they are over.")
    return None


async def _forget_person(db: Connection, person: Person) -> None:
    name = f"{_NOBODY} {show_id('usr', person.id)}"
    await db.execute(
        """
        UPDATE identity_people
           SET email = %(name)s, email_canonical = %(name)s, password_hash = NULL, is_operator = false,
               verified_at = NULL, deleted_at = now()
         WHERE id = %(id)s
        """,
        {"name": name, "id": person.id},
    )
    await db.execute("UPDATE identity_organizations SET name = %s WHERE id = %s", (_NOBODY, person.organization_id))
    await db.execute("UPDATE identity_keys SET name = %s WHERE person_id = %s", (_NOBODY, person.id))
    await db.execute("UPDATE identity_devices SET name = %s, address = '' WHERE person_id = %s", (_NOBODY, person.id))
    await db.execute("DELETE FROM identity_memberships WHERE person_id = %s", (person.id,))
    for table in ("identity_sessions", "identity_links", "identity_places", "identity_tickets"):
        await db.execute(f"DELETE FROM {table} WHERE person_id = %s".encode(), (person.id,))


async def _revoke_keys(db: Connection, person_id: PersonId) -> None:
    rows = await db.execute(
        "SELECT organization_id, id FROM identity_keys WHERE person_id = %s AND revoked_at IS NULL ORDER BY id",
        (person_id,),
    )
    for organization_id, key_id in await rows.fetchall():
        await revoke_key(db, organization_id, key_id)


async def _has_another_operator(db: Connection, person_id: PersonId) -> bool:
    rows = await db.execute("SELECT 1 FROM identity_people WHERE is_operator AND id <> %s LIMIT 1", (person_id,))
    return await rows.fetchone() is not None


async def _only_owned(db: Connection, person_id: PersonId) -> str | None:
    rows = await db.execute(
        """
        SELECT o.name FROM identity_memberships m
          JOIN identity_organizations o ON o.id = m.organization_id AND o.personal_of IS NULL
         WHERE m.person_id = %(person)s AND m.role = 'owner' AND NOT EXISTS (
             SELECT FROM identity_memberships
              WHERE organization_id = o.id AND role = 'owner' AND person_id <> %(person)s
         )
         ORDER BY o.id LIMIT 1
        """,
        {"person": person_id},
    )
    row = await rows.fetchone()
    return row[0] if row else None


async def _has_just_moved(db: Connection, person_id: PersonId) -> bool:
    rows = await db.execute(
        """
        SELECT 1 FROM identity_links
         WHERE person_id = %s AND kind = 'undo' AND ended_at IS NULL AND expires_at > now() LIMIT 1
        """,
        (person_id,),
    )
    return await rows.fetchone() is not None
