"""The one-time link with which the first operator registers: there is no default password."""

import secrets
from hashlib import sha256

from pouch.base.database import Connection
from pouch.base.errors import NotFound
from pouch.base.languages import say
from pouch.base.money import ZERO, Money
from pouch.identity.people import add_person
from pouch.identity.types import Person

_LOCK = 0x6669727374  # "first": the advisory lock under which the ticket is made and used


async def first_link(db: Connection) -> str | None:
    """A new token for /first/{token}, in place of any earlier one. None once there is an operator.

    Strangers who sign up before the operator came do not end it: they would lock the operator out.
    """
    await _alone(db)
    if await _has_operator(db):
        return None
    token = secrets.token_urlsafe(32)
    await db.execute(
        """
        INSERT INTO identity_first_tickets (secret_hash) VALUES (%s)
        ON CONFLICT (only_one) DO UPDATE SET secret_hash = excluded.secret_hash, created_at = now()
        """,
        (_hash(token),),
    )
    return token


async def is_first_link(db: Connection, token: str) -> bool:
    """Whether the token still opens the form."""
    rows = await db.execute("SELECT 1 FROM identity_first_tickets WHERE secret_hash = %s", (_hash(token),))
    return await rows.fetchone() is not None and not await _has_operator(db)


async def add_first_person(
    db: Connection, token: str, email: str, password_hash: str, *, welcome: Money = ZERO
) -> Person:
    """Register the operator, verified, and end the link. Raises NotFound when it has ended.

    Of several posts at once one goes through: they take turns, and the next one finds an operator. One that fails, for
    example because somebody has the address, leaves the link as it was.
    """
    await _alone(db)
    if not await is_first_link(db, token):
        raise NotFound(say("This link has been used or replaced by a newer one. It works once."))
    await db.execute("DELETE FROM identity_first_tickets")
    return await add_person(db, email, password_hash, verified=True, operator=True, welcome=welcome)


async def _alone(db: Connection) -> None:
    await db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


async def _has_operator(db: Connection) -> bool:
    rows = await db.execute("SELECT 1 FROM identity_people WHERE is_operator LIMIT 1")
    return await rows.fetchone() is not None


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "replace")).digest()
