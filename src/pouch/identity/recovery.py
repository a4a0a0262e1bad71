"""Another password: with the one that is known, or by a mail when it is forgotten."""

from pouch.base.errors import Conflict, InvalidInput
from pouch.base.ids import new_id
from pouch.base.languages import say
from pouch.identity import letters
from pouch.identity.addresses import read_address
from pouch.identity.devices import SIGNED_IN, revoke_devices
from pouch.identity.entrance import Entrance, enter
from pouch.identity.errors import AddressTaken, LinkEnded
from pouch.identity.links import Link, add_link, end_links, find_link, use_link
from pouch.identity.means import Means, Visitor
from pouch.identity.passwords import read_password
from pouch.identity.people import change_password_hash, find_person, get_person, give_address, set_password_hash
from pouch.identity.sessions import end_sessions, renew_session
from pouch.identity.throttles import MAIL_PER_CLIENT, MAIL_PER_MAILBOX
from pouch.identity.types import PersonId, SessionId
from pouch.identity.verification import owner_of
from pouch.identity.welcome import mailbox
from pouch.web.viewer import Viewer


class Recovery:
    """Changes passwords. Each change ends other sessions and the open links that could undo it, and is told by mail."""

    def __init__(self, means: Means, entrance: Entrance) -> None:
        self._means = means
        self._entrance = entrance

    async def ask(self, email: str, visitor: Visitor) -> None:
        """Send the link that resets the password, if somebody has this address.

        The same work and no answer for an address that nobody has. Raises InvalidInput for what is no address, and
        TooManyRequests.
        """
        address = read_address(email)
        limits = (MAIL_PER_MAILBOX, mailbox(address.canonical)), (MAIL_PER_CLIENT, visitor.network)
        with self._means.throttles.attempt(*limits) as attempt:
            attempt.count()
            async with self._means.database.transaction() as db:
                person = await find_person(db, email)
                # Where we write is the address as its owner wrote it, not as a stranger does.
                known = read_address(person.email) if person else address
                link = await add_link(db, "reset", known, person.id if person else None)
                await letters.send_link(db, link, "reset_password", is_kept=person is not None)

    async def find(self, token: str, visitor: Visitor) -> Link:
        """What a link is for; nothing is used up. Raises LinkEnded and TooManyRequests."""
        with self._means.counting_bad_links(visitor):
            link_id = self._means.tokens.read("reset", token)
            async with self._means.database.transaction() as db:
                return await find_link(db, "reset", link_id)

    async def reset(self, token: str, password: str, visitor: Visitor) -> str:
        """Use the link: choose a password, sign out everywhere, and start a session here; returns its secret.

        The link came by mail, so an address that was not verified is now. Raises InvalidInput, and as `find`.
        """
        found = await self.find(token, visitor)
        hashed = await self._means.passwords.hash(read_password(password, email=found.address.shown))
        async with self._means.database.transaction() as db:
            link = await use_link(db, "reset", found.id)
            person = await owner_of(db, link)
            try:
                person = await give_address(db, person, link.address, welcome=self._means.welcome)
            except AddressTaken:
                raise LinkEnded from None
            await set_password_hash(db, person.id, hashed)
            await end_sessions(db, person.id)
            await revoke_devices(db, person.id, *SIGNED_IN)
            await end_links(db, person.id, "reset", "verify", "change")
            await letters.tell_password_changed(db, person, cause=str(link.id))
            secret = await enter(db, person, visitor, tells=False)
        self._means.programs_ended(person.id)
        return secret

    async def change(self, viewer: Viewer, current: str, password: str, visitor: Visitor) -> str:
        """Change the password of who is signed in and knows it, and sign out everywhere else.

        Returns a new secret for this session. Raises InvalidInput (`current`, `password`), TooManyRequests, and
        Conflict when it was changed at the same time.
        """
        read_password(password, email=viewer.email)
        stored = await self._entrance.check_password(viewer, current, visitor)
        if current == password:
            raise InvalidInput(say("This is the password you have. Choose another one."), field="password")
        hashed = await self._means.passwords.hash(password)
        person_id, session_id = PersonId(viewer.person_id), SessionId(viewer.session_id)
        async with self._means.database.transaction() as db:
            if not await change_password_hash(db, person_id, old=stored, new=hashed):
                raise Conflict(say("Your password was changed at the same time. Sign in with the new one."))
            await end_sessions(db, person_id, but_for=session_id)
            await revoke_devices(db, person_id, *SIGNED_IN)
            await end_links(db, person_id, "reset", "change")
            if (person := await get_person(db, person_id)) is not None:
                await letters.tell_password_changed(db, person, cause=str(new_id()))
            secret = await renew_session(db, session_id)
        self._means.programs_ended(person_id)
        return secret
