"""Links that are sent by mail and do one thing once.

The database knows of a link what it is for and until when. What opens it is a signature of its id, made from the
operator's secret key at the moment the letter is sent: a copy of the database, the outbox included, opens nothing.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from psycopg.rows import TupleRow

from pouch.base.database import Connection
from pouch.base.ids import new_id, read_id, show_id
from pouch.base.secret_keys import SecretKeys
from pouch.identity.addresses import Address
from pouch.identity.errors import LinkEnded
from pouch.identity.types import PersonId

LinkKind: TypeAlias = Literal["verify", "reset", "change", "undo", "invite"]

LIFETIME_HOURS: dict[LinkKind, int] = {"verify": 24, "reset": 1, "change": 24, "undo": 72, "invite": 7 * 24}
PATHS: dict[LinkKind, str] = {
    "verify": "/verify",
    "reset": "/reset",
    "change": "/change-address",
    "undo": "/undo-change",
    "invite": "/invitation",
}
"""Below which page of this site the token of each kind stands."""

_SIGNATURE_BYTES = 24
_TOKEN_LENGTH = 64  # 16 bytes of id and 24 of signature, in letters and digits that no mail program breaks


@dataclass(frozen=True, slots=True)
class Link:
    """What a link is for. `person_id` is None for an invitation, and for a reset that nobody can use."""

    id: UUID
    kind: LinkKind
    person_id: PersonId | None
    address: Address
    created_at: datetime
    expires_at: datetime


class Tokens:
    """Writes the addresses of links and reads them again."""

    def __init__(self, secret_keys: SecretKeys, site_url: str) -> None:
        self._secret_keys = secret_keys
        self._site_url = site_url

    def url(self, kind: LinkKind, link_id: UUID) -> str:
        """The whole address of a link. It is a secret: put it into a letter or a page, never into the database."""
        return f"{self._site_url}{self.path(kind, link_id)}"

    def path(self, kind: LinkKind, link_id: UUID) -> str:
        """The same on this site."""
        signature = self._secret_keys.sign(_purpose(kind), link_id.bytes)[:_SIGNATURE_BYTES]
        return f"{PATHS[kind]}/{base64.b32hexencode(link_id.bytes + signature).decode().lower()}"

    def read(self, kind: LinkKind, token: str) -> UUID:
        """The id in a token that we signed, with this or an earlier secret key. Raises LinkEnded for any other text."""
        if len(token) != _TOKEN_LENGTH or not token.isascii():
            raise LinkEnded
        try:
            both = base64.b32hexdecode(token.upper())
        except binascii.Error:
            raise LinkEnded from None
        link_id, signature = both[:16], both[16:]
        if not self._secret_keys.is_signed(_purpose(kind), link_id, signature):
            raise LinkEnded
        return UUID(bytes=link_id)

    def complete(self, _kind: str, context: Mapping[str, str]) -> Mapping[str, str]:
        """Put the address of its link into a letter that is about to be sent."""
        if "link" not in context:
            return context
        name, _, shown = context["link"].partition(" ")
        kind, link_id = next(each for each in PATHS if each == name), read_id("lnk", shown)
        assert link_id is not None
        return {**context, "link_url": self.url(kind, link_id)}


def in_letter(link: Link) -> str:
    """What stands in a letter's context for a link, until it is sent."""
    return f"{link.kind} {show_id('lnk', link.id)}"


async def add_link(db: Connection, kind: LinkKind, address: Address, person_id: PersonId | None = None) -> Link:
    """A new link of its kind's lifetime. Earlier ones stay open: somebody may press the first of two letters."""
    added = await db.execute(
        """
        INSERT INTO identity_links (id, kind, person_id, email, email_canonical, expires_at)
        VALUES (%s, %s, %s, %s, %s, now() + make_interval(hours => %s))
        RETURNING id, created_at, expires_at
        """,
        (new_id(), kind, person_id, address.shown, address.canonical, LIFETIME_HOURS[kind]),
    )
    row = await added.fetchone()
    assert row is not None
    return Link(row[0], kind, person_id, address, row[1], row[2])


async def find_link(db: Connection, kind: LinkKind, link_id: UUID) -> Link:
    """A link that can still be used; looking at it uses nothing up. Raises LinkEnded."""
    rows = await db.execute(f"SELECT {_COLUMNS} FROM identity_links WHERE {_OPEN}", {"id": link_id, "kind": kind})
    return _read(await rows.fetchone())


async def use_link(db: Connection, kind: LinkKind, link_id: UUID) -> Link:
    """Use a link up. Of several at once one goes through; raises LinkEnded for the others."""
    used = await db.execute(
        f"UPDATE identity_links SET ended_at = now() WHERE {_OPEN} RETURNING {_COLUMNS}", {"id": link_id, "kind": kind}
    )
    return _read(await used.fetchone())


async def pending_change(db: Connection, person_id: PersonId) -> Link | None:
    """The address that a person wants to move to and has not confirmed yet."""
    rows = await db.execute(
        f"""
        SELECT {_COLUMNS} FROM identity_links
         WHERE person_id = %s AND kind = 'change' AND ended_at IS NULL AND expires_at > now()
         ORDER BY created_at DESC LIMIT 1
        """.encode(),
        (person_id,),
    )
    row = await rows.fetchone()
    return _read(row) if row else None


async def end_links(db: Connection, person_id: PersonId, *kinds: LinkKind, since: datetime | None = None) -> None:
    """End the open links of a person, all kinds when none is named, those made before `since` excepted."""
    await db.execute(
        """
        UPDATE identity_links SET ended_at = now()
         WHERE person_id = %(person)s AND ended_at IS NULL AND (%(kinds)s::text[] = '{}' OR kind = ANY(%(kinds)s))
           AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
        """,
        {"person": person_id, "kinds": list(kinds), "since": since},
    )


async def end_invitations(db: Connection, canonical: str) -> None:
    """End the open invitations of an address."""
    await db.execute(
        """
        UPDATE identity_links SET ended_at = now()
         WHERE kind = 'invite' AND email_canonical = %s AND ended_at IS NULL
        """,
        (canonical,),
    )


async def forget_old_links(db: Connection) -> None:
    """Forget the links that ended of themselves a month ago or more."""
    await db.execute("DELETE FROM identity_links WHERE expires_at < now() - interval '30 days'")


_COLUMNS = "id, kind, person_id, email, email_canonical, created_at, expires_at"
_OPEN = (
    "id = %(id)s AND kind = %(kind)s AND ended_at IS NULL AND expires_at > now() "
    "AND (person_id IS NOT NULL OR kind = 'invite')"
)


def _read(row: TupleRow | None) -> Link:
    if row is None:
        raise LinkEnded
    link_id, kind, person_id, shown, canonical, created_at, expires_at = row
    return Link(link_id, kind, person_id, Address(shown, canonical), created_at, expires_at)


def _purpose(kind: LinkKind) -> str:
    return f"link:{kind}"
