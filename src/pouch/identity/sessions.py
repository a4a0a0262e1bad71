"""Sessions: who is signed in on which browser. The browser has a random secret, the database its hash."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from pouch.base.database import Connection
from pouch.base.errors import NotFound
from pouch.base.ids import new_id
from pouch.base.languages import say
from pouch.identity.types import PersonId, SessionId, SignedIn

IDLE_DAYS = 30
LIFETIME_DAYS = 90
LIFETIME_S = LIFETIME_DAYS * 24 * 3600
SEEN_EVERY_S = 300
"""`seen_at` is this coarse, so that looking at a page does not write each time."""
RECENT_S = 15 * 60
"""So long after the password was given, what is hard to undo does not ask for it again."""
SECRET_LENGTH_MAX = 100
_NOTE_LENGTH_MAX = 200

# One rule for what lives; the three parameters are the same wherever it is used.
_LIVES = "s.revoked_at IS NULL AND s.expires_at > now() AND s.seen_at > now() - make_interval(days => %(idle)s)"


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in of a person, for their list."""

    id: SessionId
    user_agent: str
    address: str
    created_at: datetime
    seen_at: datetime


async def start_session(
    db: Connection,
    person_id: PersonId,
    *,
    user_agent: str = "",
    address: str = "",
    session_id: SessionId | None = None,
) -> str:
    """Sign a person in on a new browser, looking at their personal organization. Returns the secret for the cookie.

    Sessions of the same person that have ended are forgotten here, so they never pile up.
    """
    await db.execute(
        f"DELETE FROM identity_sessions s WHERE s.person_id = %(person)s AND NOT ({_LIVES})",
        {"person": person_id, "idle": IDLE_DAYS},
    )
    secret = secrets.token_urlsafe(32)
    await db.execute(
        """
        INSERT INTO identity_sessions (id, secret_hash, person_id, organization_id, user_agent, address, expires_at)
        SELECT %s, %s, personal_of, id, %s, %s, now() + make_interval(days => %s)
          FROM identity_organizations WHERE personal_of = %s
        """,
        (
            session_id or new_id(),
            _hash(secret),
            user_agent[:_NOTE_LENGTH_MAX],
            address[:_NOTE_LENGTH_MAX],
            LIFETIME_DAYS,
            person_id,
        ),
    )
    return secret


async def find_session(db: Connection, secret: str) -> SignedIn | None:
    """Who is signed in with this secret. None when nobody is: unknown, ended, or no longer in that organization."""
    if len(secret) > SECRET_LENGTH_MAX:
        return None
    rows = await db.execute(
        f"""
        SELECT p.id, s.organization_id, s.id, p.email, p.is_operator, p.verified_at IS NOT NULL, s.confirmed_at,
               s.seen_at < now() - make_interval(secs => %(seen_every)s)
          FROM identity_sessions s
          JOIN identity_people p ON p.id = s.person_id
          JOIN identity_memberships m ON m.organization_id = s.organization_id AND m.person_id = s.person_id
         WHERE s.secret_hash = %(hash)s AND {_LIVES}
        """,
        {"hash": _hash(secret), "idle": IDLE_DAYS, "seen_every": SEEN_EVERY_S},
    )
    row = await rows.fetchone()
    if row is None:
        return None
    signed_in, was_seen_long_ago = SignedIn(*row[:7]), row[7]
    if was_seen_long_ago:
        await db.execute("UPDATE identity_sessions SET seen_at = now() WHERE id = %s", (signed_in.session_id,))
    return signed_in


async def end_session(db: Connection, session_id: SessionId) -> None:
    """Sign out on one browser. Repeating it changes nothing."""
    await db.execute(
        "UPDATE identity_sessions SET revoked_at = now() WHERE id = %s AND revoked_at IS NULL", (session_id,)
    )


async def is_recent(db: Connection, session_id: SessionId) -> bool:
    """Whether the password was given in this session within the last 15 minutes."""
    rows = await db.execute(
        "SELECT confirmed_at > now() - make_interval(secs => %s) FROM identity_sessions WHERE id = %s",
        (RECENT_S, session_id),
    )
    row = await rows.fetchone()
    return row is not None and row[0]


async def renew_session(db: Connection, session_id: SessionId) -> str:
    """Note that the password was given again, and return a new secret for the cookie; the old one opens nothing."""
    secret = secrets.token_urlsafe(32)
    renewed = await db.execute(
        """
        UPDATE identity_sessions SET secret_hash = %s, confirmed_at = now(), seen_at = now()
         WHERE id = %s AND revoked_at IS NULL
        """,
        (_hash(secret), session_id),
    )
    if renewed.rowcount == 0:
        raise NotFound(say("This session has ended. Sign in again."))
    return secret


async def list_sessions(db: Connection, person_id: PersonId) -> list[Session]:
    """A person's live sessions, the one used last first."""
    rows = await db.execute(
        f"""
        SELECT s.id, s.user_agent, s.address, s.created_at, s.seen_at FROM identity_sessions s
         WHERE s.person_id = %(person)s AND {_LIVES}
         ORDER BY s.seen_at DESC, s.id DESC
        """,
        {"person": person_id, "idle": IDLE_DAYS},
    )
    return [Session(*row) for row in await rows.fetchall()]


async def end_session_of(db: Connection, person_id: PersonId, session_id: SessionId) -> None:
    """Sign a person out somewhere else. Repeating it changes nothing.

    Raises NotFound when there is no such session of this person: other people's are left alone.
    """
    ended = await db.execute(
        """
        UPDATE identity_sessions SET revoked_at = coalesce(revoked_at, now())
         WHERE id = %s AND person_id = %s
        """,
        (session_id, person_id),
    )
    if ended.rowcount == 0:
        raise NotFound(say("There is no such session."))


async def end_sessions(db: Connection, person_id: PersonId, *, but_for: SessionId | None = None) -> None:
    """Sign a person out everywhere, or everywhere else."""
    await db.execute(
        """
        UPDATE identity_sessions SET revoked_at = now()
         WHERE person_id = %s AND id IS DISTINCT FROM %s AND revoked_at IS NULL
        """,
        (person_id, but_for),
    )


def _hash(secret: str) -> bytes:
    # 256 random bits need no slow hash: nobody can try them all.
    return sha256(secret.encode("utf-8", "replace")).digest()
