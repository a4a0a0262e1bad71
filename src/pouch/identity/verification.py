"""Proving that an address is one's own: by the link that was sent to it."""

from pouch.base.database import Connection
from pouch.identity import letters
from pouch.identity.addresses import read_address
from pouch.identity.errors import AddressTaken, LinkEnded, VerificationNeeded
from pouch.identity.links import Link, add_link, end_links, find_link, use_link
from pouch.identity.means import Means, Visitor
from pouch.identity.people import find_person, get_person, give_address, is_taken
from pouch.identity.throttles import MAIL_PER_CLIENT, MAIL_PER_MAILBOX
from pouch.identity.types import Person, PersonId
from pouch.identity.welcome import mailbox
from pouch.web.viewer import Viewer


def need_verified(viewer: Viewer) -> None:
    """Raise VerificationNeeded for somebody whose address is not verified: no first purchase, no first key."""
    if not viewer.is_verified:
        raise VerificationNeeded


async def prove(db: Connection, person: Person) -> None:
    """Send an unverified person the link that verifies their address.

    When somebody else has the address, the link is made and not sent, and the owner is told instead.
    """
    address = read_address(person.email)
    link = await add_link(db, "verify", address, person.id)
    if await is_taken(db, address.canonical, but_for=person.id):
        owner = await find_person(db, person.email)
        has_it = owner is not None and owner.verified_at is not None
        await letters.tell_address_taken(db, link, to=owner.email if owner and has_it else person.email)
    else:
        await letters.send_link(db, link, "verify_address")


async def owner_of(db: Connection, link: Link) -> Person:
    """Whose link this is, locked until the transaction ends. Raises LinkEnded once they deleted their account."""
    person = await get_person(db, link.person_id) if link.person_id else None
    if person is None:
        raise LinkEnded
    return person


class Verification:
    """Sends the link again and takes it back."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def send_again(self, viewer: Viewer, visitor: Visitor) -> None:
        """Send the link once more. Does nothing for a verified person. Raises TooManyRequests."""
        if viewer.is_verified:
            return
        limits = (
            (MAIL_PER_MAILBOX, mailbox(read_address(viewer.email).canonical)),
            (MAIL_PER_CLIENT, visitor.network),
        )
        with self._means.throttles.attempt(*limits) as attempt:
            attempt.count()
            async with self._means.database.transaction() as db:
                person = await get_person(db, PersonId(viewer.person_id))
                if person is not None and person.verified_at is None:
                    await prove(db, person)

    async def find(self, token: str, visitor: Visitor) -> Link:
        """What a link is for; nothing is used up. Raises LinkEnded and TooManyRequests."""
        with self._means.counting_bad_links(visitor):
            link_id = self._means.tokens.read("verify", token)
            async with self._means.database.transaction() as db:
                link = await find_link(db, "verify", link_id)
                if await is_taken(db, link.address.canonical, but_for=link.person_id):
                    raise LinkEnded
                return link

    async def verify(self, token: str, visitor: Visitor) -> Person:
        """Use the link: the address is the person's from now on, and the welcome credits come. Raises as `find`."""
        found = await self.find(token, visitor)
        async with self._means.database.transaction() as db:
            link = await use_link(db, "verify", found.id)
            person = await owner_of(db, link)
            try:
                await give_address(db, person, link.address, welcome=self._means.welcome)
            except AddressTaken:
                raise LinkEnded from None
            await end_links(db, person.id, "verify")
            return person
