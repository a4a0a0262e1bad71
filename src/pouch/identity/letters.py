"""The letters of this room. Each is written once per cause, in the transaction it speaks of."""

from psycopg import Rollback

from pouch.base.database import Connection
from pouch.base.ids import derived_id, show_id
from pouch.identity.browsers import browser_words
from pouch.identity.keys import PERIOD_WORDS
from pouch.identity.links import Link, in_letter
from pouch.identity.means import Visitor
from pouch.identity.types import Key, KeyId, Person, SessionId
from pouch.mail.outbox import Letter, write
from pouch.web.filters import dollars, when


async def send_link(db: Connection, link: Link, kind: str, *, is_kept: bool = True) -> None:
    """Send a link to its address. With `is_kept` False the same work is done and nothing is sent."""
    context = {"link": in_letter(link), "until": f"{when(link.expires_at)} UTC", "address": link.address.shown}
    async with db.transaction():
        await write(db, Letter(f"{kind}:{link.id}", link.address.shown, kind, context))
        if not is_kept:
            raise Rollback


async def tell_address_taken(db: Connection, link: Link, *, to: str) -> None:
    """Tell whoever has an address that somebody typed it, once a day however often that happens."""
    cause = f"address_taken:{derived_id(link.address.canonical)}:{link.created_at.date()}"
    await write(db, Letter(cause, to, "address_taken", {"address": to}))


async def tell_new_sign_in(db: Connection, person: Person, session_id: SessionId, visitor: Visitor) -> None:
    """Tell a person that they signed in from where they did not sign in lately."""
    context = {"browser": browser_words(visitor.user_agent), "network": visitor.address or "unknown"}
    await _tell(db, person, f"new_sign_in:{session_id}", "new_sign_in", context)


async def tell_password_changed(db: Connection, person: Person, *, cause: str) -> None:
    """Tell a person that their password is another one now."""
    await _tell(db, person, f"password_changed:{cause}", "password_changed", {})


async def tell_key_made(db: Connection, to: str, key: Key) -> None:
    """Tell a person that a key was made in their name."""
    limit = dollars(key.limit.cap) if key.limit else ""
    # In English: the letter says it in its own language when it is sent.
    period = PERIOD_WORDS[key.limit.period] if key.limit and key.limit.period != "ever" else ""
    context = {"name": key.name, "hint": key.hint, "limit": limit, "period": period}
    context["time"] = f"{when(key.created_at)} UTC"
    await write(db, Letter(f"key_made:{_key(key.id)}", to, "key_made", context))


async def tell_address_changed(db: Connection, undo: Link, *, new: str) -> None:
    """Tell the old address of a person that they use another one now, with the link that takes it back."""
    context = {"link": in_letter(undo), "until": f"{when(undo.expires_at)} UTC", "old": undo.address.shown, "new": new}
    await write(db, Letter(f"address_changed:{undo.id}", undo.address.shown, "address_changed", context))


async def tell_account_deleted(db: Connection, person: Person) -> None:
    """Say good-bye."""
    await _tell(db, person, f"account_deleted:{person.id}", "account_deleted", {})


async def _tell(db: Connection, person: Person, key: str, kind: str, context: dict[str, str]) -> None:
    # Nobody knows yet whose an unverified address is: it gets no news of an account that may not be theirs.
    if person.verified_at is not None:
        await write(db, Letter(key, person.email, kind, context))


def _key(key_id: KeyId) -> str:
    return show_id("key", key_id)
