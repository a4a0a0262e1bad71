"""Signing in, and giving the password again before something that is hard to undo."""

from pouch.base.database import Connection
from pouch.base.errors import InvalidInput
from pouch.base.ids import new_id
from pouch.identity import letters
from pouch.identity.addresses import BYTES_MAX as ADDRESS_BYTES_MAX
from pouch.identity.addresses import read_address
from pouch.identity.browsers import browser_words
from pouch.identity.errors import WrongPassword
from pouch.identity.means import Means, Visitor
from pouch.identity.people import change_password_hash, find_candidates, has_password_hash, password_hash_of
from pouch.identity.places import note_place
from pouch.identity.sessions import end_session, renew_session, start_session
from pouch.identity.throttles import SIGN_IN_PER_ADDRESS, SIGN_IN_PER_CLIENT
from pouch.identity.types import Person, PersonId, SessionId
from pouch.web.viewer import Viewer


class Entrance:
    """Compares passwords. They are hashed outside transactions, so nobody waits with a connection in hand."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def sign_in(self, email: str, password: str, visitor: Visitor) -> str:
        """Start a session and return its secret.

        Raises WrongPassword, with the same work and words for an address that nobody has, TooManyRequests after too
        many wrong passwords, and Unavailable when too many people sign in at once, which is not counted.
        """
        limits = (SIGN_IN_PER_ADDRESS, _spelling(email)), (SIGN_IN_PER_CLIENT, visitor.network)
        with self._means.throttles.attempt(*limits) as attempt:
            async with self._means.database.transaction() as db:
                found = await find_candidates(db, email)
            # Always both when the first is wrong, so that nobody learns which of them there is.
            for person, stored in (found.verified or (None, None), found.unverified or (None, None)):
                if await self._means.passwords.verify(password, stored) and person is not None and stored is not None:
                    return await self._let_in(person, stored, password, visitor)
            attempt.count()
            raise WrongPassword

    async def confirm(self, viewer: Viewer, password: str, visitor: Visitor) -> str:
        """Take the password again from who is signed in, and return a new secret for the session.

        Raises WrongPassword, TooManyRequests and Unavailable as `sign_in`, with which it shares its throttles.
        """
        stored = await self.check_password(viewer, password, visitor)
        async with self._means.database.transaction() as db:
            if not await has_password_hash(db, PersonId(viewer.person_id), stored):
                raise WrongPassword
            return await renew_session(db, SessionId(viewer.session_id))

    async def check_password(self, viewer: Viewer, password: str, visitor: Visitor) -> str:
        """The stored hash of the viewer's password, if this is the password. Raises as `confirm`."""
        limits = (SIGN_IN_PER_ADDRESS, _spelling(viewer.email)), (SIGN_IN_PER_CLIENT, visitor.network)
        with self._means.throttles.attempt(*limits) as attempt:
            async with self._means.database.transaction() as db:
                stored = await password_hash_of(db, PersonId(viewer.person_id))
            if await self._means.passwords.verify(password, stored) and stored is not None:
                return stored
            attempt.count()
            raise WrongPassword

    async def _let_in(self, person: Person, stored: str, password: str, visitor: Visitor) -> str:
        passwords = self._means.passwords
        fresh = await passwords.hash(password) if passwords.is_outdated(stored) else None
        async with self._means.database.transaction() as db:
            # The password may have been changed while we compared; then this one no longer opens anything.
            if not await has_password_hash(db, person.id, stored):
                raise WrongPassword
            if fresh is not None:
                await change_password_hash(db, person.id, old=stored, new=fresh)
            return await enter(db, person, visitor)


async def enter(db: Connection, person: Person, visitor: Visitor, *, tells: bool = True) -> str:
    """Start a session for somebody who may enter, and return its secret; `tells` them when they come from elsewhere.

    The session that the browser had ends: nobody keeps a secret from before.
    """
    if visitor.session_id is not None:
        await end_session(db, visitor.session_id)
    session_id = SessionId(new_id())
    browser = browser_words(visitor.user_agent)
    is_elsewhere = await note_place(db, person.id, browser=browser, network=visitor.network)
    secret = await start_session(
        db, person.id, user_agent=visitor.user_agent, address=visitor.address, session_id=session_id
    )
    if is_elsewhere and tells:
        await letters.tell_new_sign_in(db, person, session_id, visitor)
    return secret


def _spelling(email: str) -> str:
    try:
        return read_address(email).canonical
    except InvalidInput:
        return email.strip().casefold()[:ADDRESS_BYTES_MAX]
