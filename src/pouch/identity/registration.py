"""Becoming a person here: as a stranger, by invitation, or as the first one. Each ends in a new session."""

from pouch.base.database import Connection
from pouch.base.errors import Conflict
from pouch.base.languages import say
from pouch.identity import letters
from pouch.identity.addresses import Address, read_address
from pouch.identity.entrance import enter
from pouch.identity.errors import SignUpRefused
from pouch.identity.first import add_first_person
from pouch.identity.links import Link, add_link, end_invitations, find_link, use_link
from pouch.identity.means import Means, Visitor
from pouch.identity.passwords import read_password
from pouch.identity.people import add_person, hold_addresses, is_taken
from pouch.identity.throttles import MAIL_PER_MAILBOX, SIGN_UP_PER_CLIENT
from pouch.identity.verification import prove
from pouch.identity.welcome import mailbox


class Registration:
    """Registers people. A password is hashed before the transaction begins."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def sign_up(self, email: str, password: str, visitor: Visitor) -> str:
        """Register a stranger, unverified, send the mail that verifies, start a session and return its secret.

        An address that somebody has is no different from here: whoever types it gets an account that can never be
        verified, and the owner of the address gets another mail. Raises InvalidInput with the field, SignUpRefused
        when the operator does not let strangers register, and TooManyRequests.
        """
        self.check_sign_up()
        with self._means.throttles.attempt((SIGN_UP_PER_CLIENT, visitor.network)) as attempt:
            attempt.count()
            address = read_address(email)
            self._means.check_domain(address)
            read_password(password, email=email)
            with self._means.throttles.attempt((MAIL_PER_MAILBOX, mailbox(address.canonical))) as mail:
                mail.count()
                hashed = await self._means.passwords.hash(password)
                async with self._means.database.transaction() as db:
                    person = await add_person(db, email, hashed, verified=False)
                    await prove(db, person)
                    return await enter(db, person, visitor)

    async def enter_first(self, token: str, email: str, password: str, visitor: Visitor) -> str:
        """Register the operator through the one-time link and start a session. Raises as `sign_up`, or NotFound."""
        with self._means.throttles.attempt((SIGN_UP_PER_CLIENT, visitor.network)) as attempt:
            attempt.count()
            hashed = await self._new_hash(email, password)
            async with self._means.database.transaction() as db:
                person = await add_first_person(db, token, email, hashed, welcome=self._means.welcome)
                return await enter(db, person, visitor)

    async def find_invitation(self, token: str, visitor: Visitor) -> Link:
        """The invitation behind a link. Raises LinkEnded, SignUpRefused and TooManyRequests."""
        if self._means.sign_up == "closed":
            raise _closed()
        with self._means.counting_bad_links(visitor):
            link_id = self._means.tokens.read("invite", token)
            async with self._means.database.transaction() as db:
                return await find_link(db, "invite", link_id)

    async def enter_invited(self, token: str, password: str, visitor: Visitor) -> str:
        """Register who was invited, verified: the link came to their address. Starts a session.

        Raises as `find_invitation`, InvalidInput, and AddressTaken when they have registered meanwhile.
        """
        link = await self.find_invitation(token, visitor)
        hashed = await self._new_hash(link.address.shown, password)
        async with self._means.database.transaction() as db:
            await use_link(db, "invite", link.id)
            await end_invitations(db, link.address.canonical)
            person = await add_person(db, link.address.shown, hashed, verified=True, welcome=self._means.welcome)
            return await enter(db, person, visitor)

    def check_sign_up(self) -> None:
        """Raise SignUpRefused unless strangers may register."""
        match self._means.sign_up:
            case "open":
                return
            case "invite":
                raise SignUpRefused(say("Accounts here are by invitation. Ask the operator for one."))
            case "closed":
                raise _closed()

    async def _new_hash(self, email: str, password: str) -> str:
        read_address(email)
        return await self._means.passwords.hash(read_password(password, email=email))


async def invite(db: Connection, address: Address) -> Link:
    """Invite somebody by mail; earlier invitations of theirs end. Raises Conflict when they are registered."""
    await hold_addresses(db, address.canonical)
    if await is_taken(db, address.canonical):
        raise Conflict(f"Somebody is registered as {address.shown} already.")
    await end_invitations(db, address.canonical)
    link = await add_link(db, "invite", address)
    await letters.send_link(db, link, "invitation")
    return link


def _closed() -> SignUpRefused:
    return SignUpRefused(say("New accounts are closed here. Ask the operator if you need one."))
