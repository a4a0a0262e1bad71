"""Moving to another e-mail address, and taking that back from the old one."""

from datetime import datetime

from pouch.base.database import Connection
from pouch.base.errors import InvalidInput
from pouch.base.languages import say
from pouch.identity import letters
from pouch.identity.addresses import read_address
from pouch.identity.devices import revoke_devices
from pouch.identity.errors import AddressTaken, LinkEnded
from pouch.identity.keys import revoke_key
from pouch.identity.links import Link, LinkKind, add_link, end_links, find_link, use_link
from pouch.identity.means import Means, Visitor
from pouch.identity.people import find_person, give_address, is_taken, set_password_hash
from pouch.identity.sessions import end_sessions
from pouch.identity.throttles import MAIL_PER_CLIENT, MAIL_PER_MAILBOX
from pouch.identity.types import Person, PersonId
from pouch.identity.verification import owner_of
from pouch.identity.welcome import mailbox
from pouch.web.viewer import Viewer


class Moving:
    """Changes the address of a person once the new one has been confirmed. Sessions go on."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def ask(self, viewer: Viewer, email: str, visitor: Visitor) -> str:
        """Send the link that confirms to the new address, and return it as it was read. Nothing changes yet.

        An address that somebody has gets another mail and looks the same from here. Expects a recent sign-in. Raises
        InvalidInput and TooManyRequests.
        """
        address = read_address(email)
        if address.shown == viewer.email:
            raise InvalidInput(say("This is the address you have."), field="email")
        self._means.check_domain(address)
        limits = (MAIL_PER_MAILBOX, mailbox(address.canonical)), (MAIL_PER_CLIENT, visitor.network)
        with self._means.throttles.attempt(*limits) as attempt:
            attempt.count()
            person_id = PersonId(viewer.person_id)
            async with self._means.database.transaction() as db:
                await end_links(db, person_id, "change")
                link = await add_link(db, "change", address, person_id)
                owner = await find_person(db, email)
                if await is_taken(db, address.canonical, but_for=person_id):
                    to = owner.email if owner is not None and owner.verified_at is not None else address.shown
                    await letters.tell_address_taken(db, link, to=to)
                else:
                    await letters.send_link(db, link, "confirm_new_address")
        return address.shown

    async def find(self, kind: LinkKind, token: str, visitor: Visitor) -> tuple[Link, Person]:
        """What a link is for, and whose it is; nothing is used up. Raises LinkEnded and TooManyRequests."""
        with self._means.counting_bad_links(visitor):
            link_id = self._means.tokens.read(kind, token)
            async with self._means.database.transaction() as db:
                link = await find_link(db, kind, link_id)
                person = await owner_of(db, link)
                if await is_taken(db, link.address.canonical, but_for=person.id):
                    raise LinkEnded
                return link, person

    async def confirm(self, token: str, visitor: Visitor) -> Person:
        """Use the link: the person has the new address; the old one, if it was theirs, gets the way back."""
        found, _ = await self.find("change", token, visitor)
        async with self._means.database.transaction() as db:
            link = await use_link(db, "change", found.id)
            before = await owner_of(db, link)
            after = await _move(db, before, link, self._means)
            await end_links(db, after.id, "verify", "reset", "change")
            if before.verified_at is not None:
                undo = await add_link(db, "undo", read_address(before.email), after.id)
                await letters.tell_address_changed(db, undo, new=after.email)
            return after

    async def undo(self, token: str, visitor: Visitor) -> str:
        """Use the way back: the old address, nobody signed in, no password, no key or link made since.

        Returns the path of a page of this site where a new password is chosen.
        """
        found, _ = await self.find("undo", token, visitor)
        async with self._means.database.transaction() as db:
            link = await use_link(db, "undo", found.id)
            person = await _move(db, await owner_of(db, link), link, self._means)
            await set_password_hash(db, person.id, None)
            await end_sessions(db, person.id)
            await revoke_devices(db, person.id)
            await end_links(db, person.id, since=link.created_at)
            await _revoke_keys(db, person.id, since=link.created_at)
            reset = await add_link(db, "reset", link.address, person.id)
        self._means.programs_ended(person.id)
        return self._means.tokens.path("reset", reset.id)


async def _move(db: Connection, person: Person, link: Link, means: Means) -> Person:
    try:
        return await give_address(db, person, link.address, welcome=means.welcome)
    except AddressTaken:
        raise LinkEnded from None


async def _revoke_keys(db: Connection, person_id: PersonId, *, since: datetime) -> None:
    rows = await db.execute(
        """
        SELECT organization_id, id FROM identity_keys
         WHERE person_id = %s AND created_at >= %s AND revoked_at IS NULL ORDER BY id
        """,
        (person_id, since),
    )
    for organization_id, key_id in await rows.fetchall():
        await revoke_key(db, organization_id, key_id)
