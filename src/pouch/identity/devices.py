"""Devices: programs that a person signed in. Each is revoked in the browser, and can spend nothing from then on."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.errors import Conflict, NotFound
from pouch.base.ids import new_id
from pouch.base.languages import say
from pouch.identity.keys import hash_secret
from pouch.identity.session_tokens import Claims
from pouch.identity.types import Device, DeviceId, DeviceKind, Holder, OrganizationId, PersonId
from pouch.ledger.blocks import block
from pouch.ledger.limits import limits_of

EDITOR_IDLE_DAYS = 30
LIFETIME_DAYS: dict[DeviceKind, int] = {"editor": 365, "cli": 90, "static": 365}
STATIC_DAYS_MAX = 3650
SIGNED_IN: tuple[DeviceKind, ...] = ("editor", "cli")
"""What a person signs in with their password. A static token is the operator's, like a key."""
SEEN_EVERY_S = 300
SECRET_PREFIX = "pouch-editor-"  # noqa: S105 -- what such a secret begins with
SECRET_LENGTH_MAX = 100
NAME_LENGTH_MAX = 80
_NOTE_LENGTH_MAX = 100

_LIVES = (
    "d.revoked_at IS NULL AND d.expires_at > now() AND (d.kind <> 'editor'"
    f" OR coalesce(d.seen_at, d.created_at) > now() - interval '{EDITOR_IDLE_DAYS} days')"
)
_PERSONAL = "SELECT id FROM identity_organizations WHERE personal_of = d.person_id"

Asked = OrganizationId | Literal["personal", "last"]
"""Which organization an editor asks a token for: one of the shared, the person's own, or the one it had last."""


@dataclass(frozen=True, slots=True)
class Editor:
    """An editor that showed its secret."""

    device_id: DeviceId
    person_id: PersonId


@dataclass(frozen=True, slots=True)
class Seat:
    """An editor on behalf of an organization; `organization_id` is None for the person's own."""

    device_id: DeviceId
    person_id: PersonId
    organization_id: OrganizationId | None


async def add_device(  # noqa: PLR0913 -- whose by position, the rest by name
    db: Connection,
    person_id: PersonId,
    organization_id: OrganizationId,
    *,
    kind: DeviceKind,
    name: str,
    address: str = "",
    days: int | None = None,
    secret: str | None = None,
    device_id: DeviceId | None = None,
) -> DeviceId:
    """Let a program in. Who may is the caller's to know; `secret` belongs to editors.

    `device_id`, when given, is derived from the form that was posted: coming again, it is the same device. Raises
    Conflict when that one was signed out meanwhile.
    """
    added = await db.execute(
        """
        INSERT INTO identity_devices (id, kind, person_id, organization_id, name, address, secret_hash, expires_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, now() + make_interval(days => %s))
        ON CONFLICT (id) DO UPDATE SET organization_id = excluded.organization_id
         WHERE identity_devices.revoked_at IS NULL AND identity_devices.person_id = excluded.person_id
        RETURNING id
        """,
        (
            device_id or new_id(),
            kind,
            person_id,
            organization_id,
            name[:NAME_LENGTH_MAX],
            address[:_NOTE_LENGTH_MAX],
            hash_secret(secret) if secret is not None else None,
            LIFETIME_DAYS[kind] if days is None else days,
        ),
    )
    row = await added.fetchone()
    if row is None:
        raise Conflict(say("This sign-in was ended meanwhile. Start a new one."))
    return DeviceId(row[0])


def new_secret() -> str:
    """A new secret of an editor: 256 random bits."""
    return SECRET_PREFIX + secrets.token_urlsafe(32)


async def find_editor(db: Connection, secret: str) -> Editor | None:
    """The editor with this secret. None when it is not signed in."""
    if not _can_be_secret(secret):
        return None
    rows = await db.execute(
        f"SELECT d.id, d.person_id FROM identity_devices d WHERE d.secret_hash = %s AND {_LIVES}".encode(),
        (hash_secret(secret),),
    )
    row = await rows.fetchone()
    return Editor(*row) if row else None


async def take_seat(db: Connection, secret: str, device_id: DeviceId, asked: Asked) -> Seat | None:
    """Let a signed-in editor act for an organization, and note that it was here. None when it is not signed in.

    This runs every 50 seconds for each editor, so it is one look, and writes only where something changed. Raises
    NotFound for another device than the secret's, and for an organization that the person does not belong to.
    """
    if not _can_be_secret(secret):
        return None
    rows = await db.execute(
        f"""
        SELECT d.id, d.person_id, o.id, o.personal_of IS NOT NULL,
               d.organization_id IS DISTINCT FROM o.id
               OR coalesce(d.seen_at, d.created_at) < now() - make_interval(secs => {SEEN_EVERY_S})
          FROM identity_devices d
          LEFT JOIN identity_memberships m ON m.person_id = d.person_id AND m.organization_id =
               CASE %(which)s WHEN 'last' THEN d.organization_id WHEN 'personal' THEN ({_PERSONAL}) ELSE %(id)s END
          LEFT JOIN identity_organizations o ON o.id = m.organization_id
         WHERE d.secret_hash = %(hash)s AND {_LIVES}
        """.encode(),
        {
            "hash": hash_secret(secret),
            "which": asked if isinstance(asked, str) else "named",
            "id": None if isinstance(asked, str) else asked,
        },
    )
    row = await rows.fetchone()
    if row is None:
        return None
    found, person_id, organization_id, is_personal, is_news = row
    if found != device_id:
        raise NotFound(say("This is the session of another program."))
    if organization_id is None:
        raise NotFound(say("You do not belong to this organization."))
    if is_news:
        await db.execute(
            "UPDATE identity_devices SET seen_at = now(), organization_id = %s WHERE id = %s",
            (organization_id, device_id),
        )
    return Seat(found, person_id, None if is_personal else organization_id)


async def find_holder(db: Connection, claims: Claims) -> Holder | None:
    """Who shows a token that says this. None when the device was revoked or the person left the organization."""
    rows = await db.execute(
        f"""
        SELECT d.id, d.kind, d.person_id, o.id, o.personal_of IS NOT NULL
          FROM identity_devices d
          JOIN identity_organizations o ON o.id = coalesce(%(organization)s, ({_PERSONAL}))
          JOIN identity_memberships m ON m.person_id = d.person_id AND m.organization_id = o.id
         WHERE d.id = %(device)s AND d.person_id = %(person)s AND {_LIVES}
        """.encode(),
        {"device": claims.device_id, "person": claims.person_id, "organization": claims.organization_id},
    )
    row = await rows.fetchone()
    if row is None:
        return None
    device_id, kind, person_id, organization_id, is_personal = row
    return Holder(device_id, kind, person_id, organization_id, is_personal, claims.expires_at)


async def list_devices(db: Connection, person_id: PersonId) -> list[Device]:
    """A person's signed-in programs, the one used last first."""
    rows = await db.execute(
        f"""
        SELECT d.id, d.kind, d.name, o.name, o.personal_of IS NOT NULL, d.address, d.created_at, d.seen_at, d.expires_at
          FROM identity_devices d JOIN identity_organizations o ON o.id = d.organization_id
         WHERE d.person_id = %s AND {_LIVES}
         ORDER BY coalesce(d.seen_at, d.created_at) DESC, d.id DESC
        """.encode(),
        (person_id,),
    )
    found = await rows.fetchall()
    limits = await limits_of(db, [row[0] for row in found])
    return [replace(Device(*row), limit=next(iter(limits.get(row[0], [])), None)) for row in found]


async def revoke_device(db: Connection, person_id: PersonId, device_id: DeviceId) -> bool:
    """Sign a program out: from this commit on nothing can be held on it, in any process. Says whether it is theirs.

    Repeating it changes nothing, and other people's are left alone.
    """
    revoked = await _revoke(db, "id = %s AND person_id = %s", (device_id, person_id))
    return bool(revoked)


async def revoke_devices(db: Connection, person_id: PersonId, *kinds: DeviceKind) -> list[DeviceId]:
    """Sign out all programs of a person, or all of these kinds, and say which."""
    return await _revoke(db, "person_id = %s AND kind = ANY(%s)", (person_id, list(kinds or LIFETIME_DAYS)))


async def _revoke(db: Connection, which: str, values: tuple[object, ...]) -> list[DeviceId]:
    revoked = await db.execute(
        f"""
        UPDATE identity_devices SET revoked_at = now()
         WHERE id IN (SELECT id FROM identity_devices WHERE {which} AND revoked_at IS NULL ORDER BY id FOR UPDATE)
        RETURNING id
        """.encode(),
        values,
    )
    found = [DeviceId(row[0]) for row in await revoked.fetchall()]
    for device_id in sorted(found):
        await block(db, device_id)
    return found


async def just_revoked(db: Connection) -> Sequence[UUID]:
    """The devices that were revoked in the last half minute."""
    rows = await db.execute("SELECT id FROM identity_devices WHERE revoked_at > now() - interval '30 seconds'")
    return [row[0] for row in await rows.fetchall()]


async def note_seen(db: Connection, ids: Sequence[UUID]) -> None:
    """Note that these were here, unless that was noted lately. Locked in id order: two processes note the same."""
    await db.execute(
        """
        UPDATE identity_devices SET seen_at = now()
         WHERE id IN (
             SELECT id FROM identity_devices
              WHERE id = ANY(%s) AND coalesce(seen_at, created_at) < now() - make_interval(secs => %s)
              ORDER BY id FOR UPDATE
         )
        """,
        (list(ids), SEEN_EVERY_S),
    )


def _can_be_secret(text: str) -> bool:
    return len(text) <= SECRET_LENGTH_MAX and text.startswith(SECRET_PREFIX)
