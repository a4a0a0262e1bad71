"""API keys: made once, shown once, stored as a hash, revoked for good."""

import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from pouch.base.clock import system_clock
from pouch.base.database import Connection
from pouch.base.errors import Conflict, InvalidInput, NotFound, TooManyRequests
from pouch.base.ids import new_id
from pouch.base.languages import later, say
from pouch.base.money import Money
from pouch.identity.errors import KeyMadeBefore
from pouch.identity.organizations import read_name
from pouch.identity.playground import playground_names
from pouch.identity.types import SCOPES, Caller, Key, KeyId, OrganizationId, Person, Scope
from pouch.ledger.blocks import block, unblock
from pouch.ledger.books import Period
from pouch.ledger.limits import limits_of, remove_limits, set_limit
from pouch.web.viewer import Viewer

PREFIX = "sk-pouch-"
KEYS_MAX = 200
"""Live keys of one organization."""
KEYS_PER_HOUR_MAX = 300
"""Each is told of by mail, so making and revoking them in turns has an end, too."""
EXPIRES_IN_MAX = timedelta(days=3650)
PERIOD_WORDS: dict[Period, str] = {
    "ever": later("ever"),
    "day": later("a day"),
    "week": later("a week"),
    "month": later("a month"),
}
"""For how long a limit of a key is."""
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY_LENGTH = 43  # 256 bits in base 62
_CHECK_LENGTH = 6  # 32 bits in base 62


async def add_key(  # noqa: PLR0913 -- three by position, the rest by name
    db: Connection,
    owner: Person | Viewer,
    name: str,
    *,
    scopes: Sequence[str] = ("inference",),
    limit: Money | None = None,
    period: Period = "ever",
    expires_at: datetime | None = None,
    organization_id: UUID | None = None,
    key_id: KeyId | None = None,
) -> tuple[Key, str]:
    """Make a key for a person's organization, or another of theirs. The secret is in the answer and nowhere else.

    `limit` caps what may be spent with it in each period, or ever. At `expires_at` it ends. `key_id`, when given, is
    derived from the form that asks for the key: coming a second time it raises KeyMadeBefore. Raises InvalidInput for a
    name, scope, limit or end that cannot be, and Conflict when the organization has as many keys as it may.
    """
    person_id = owner.id if isinstance(owner, Person) else owner.person_id
    organization = OrganizationId(organization_id or owner.organization_id)
    name, scopes = read_name(name), read_scopes(scopes)
    _check_limit(limit)
    _check_expiry(expires_at)
    await _check_room(db, organization)
    secret = new_secret()
    added = await db.execute(
        """
        INSERT INTO identity_keys (id, organization_id, person_id, name, secret_hash, hint, scopes, expires_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (id) DO NOTHING
        RETURNING id
        """,
        (
            key_id or new_id(),
            organization,
            person_id,
            name,
            hash_secret(secret),
            secret[-4:],
            list(scopes),
            expires_at,
        ),
    )
    row = await added.fetchone()
    if row is None:
        raise KeyMadeBefore
    if limit is not None:
        await set_limit(db, row[0], kind="key", period=period, cap=limit)
    return await find_key(db, organization, row[0]), secret


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What is to change of a key; None leaves it as it is."""

    name: str | None = None
    is_disabled: bool | None = None
    limit: tuple[Money | None, Period] | None = None
    """The cap, or None for no limit, and its period."""

    def with_limit(self, cap: Money | None, period: Period) -> "KeyChange":
        """The same, and another limit."""
        return replace(self, limit=(cap, period))


async def change_key(db: Connection, organization_id: OrganizationId, key_id: KeyId, change: KeyChange) -> Key:
    """Rename a live key, set its limit, or switch it off and on.

    Switched off, nothing can be held on it from this commit on, in any process. What was spent of a limit stays spent;
    a limit of another period begins at nothing. Raises NotFound when the organization has no such live key, and
    InvalidInput.
    """
    rows = await db.execute("SELECT counts_for FROM identity_keys WHERE id = %s FOR UPDATE", (key_id,))
    row = await rows.fetchone()
    key = await find_key(db, organization_id, key_id)
    if key.revoked_at is not None or row is None or row[0]:
        # The keys of agents' runs are the runs' to change.
        raise NotFound(say("There is no such key."))
    if change.limit is not None:
        cap, period = change.limit
        _check_limit(cap)
        if cap is None or key.limit is None or key.limit.period != period:
            await remove_limits(db, key.id)
        if cap is not None:
            await set_limit(db, key.id, kind="key", period=period, cap=cap)
    name = key.name if change.name is None else read_name(change.name)
    is_disabled = key.disabled_at is not None if change.is_disabled is None else change.is_disabled
    await db.execute(
        """
        UPDATE identity_keys
           SET name = %s, disabled_at = CASE WHEN %s THEN coalesce(disabled_at, now()) END, updated_at = now()
         WHERE id = %s
        """,
        (name, is_disabled, key.id),
    )
    if change.is_disabled is not None:
        await (block if is_disabled else unblock)(db, key.id)
    return await find_key(db, organization_id, key.id)


async def find_caller(db: Connection, secret: str) -> Caller | None:
    """Whose key this is and what it may do. None for anything that is not a live key."""
    if not looks_real(secret):
        return None
    rows = await db.execute(
        """
        SELECT id, organization_id, person_id, scopes, counts_for, model_ids, expires_at FROM identity_keys
         WHERE secret_hash = %s AND revoked_at IS NULL AND disabled_at IS NULL
           AND (expires_at IS NULL OR expires_at > now())
        """,
        (hash_secret(secret),),
    )
    row = await rows.fetchone()
    if row is None:
        return None
    model_ids = None if row[5] is None else frozenset(row[5])
    return Caller(row[0], row[1], row[2], frozenset(row[3]), tuple(row[4]), model_ids, row[6])


async def revoke_key(db: Connection, organization_id: OrganizationId, key_id: KeyId) -> None:
    """End a key: from this commit on nothing can be held on it, in any process. Repeating it changes nothing.

    Raises NotFound when the organization has no such key.
    """
    key = await find_key(db, organization_id, key_id)
    await db.execute("UPDATE identity_keys SET revoked_at = now() WHERE id = %s AND revoked_at IS NULL", (key.id,))
    await block(db, key.id)


async def find_key(db: Connection, organization_id: OrganizationId, key_id: KeyId) -> Key:
    """One key, revoked or not. Raises NotFound when it does not exist or belongs to another organization."""
    found = await _select(db, "organization_id = %s AND id = %s", (organization_id, key_id))
    if not found:
        raise NotFound(say("There is no such key."))
    return found[0]


async def list_keys(db: Connection, organization_id: OrganizationId) -> list[Key]:
    """The live keys that people of an organization made, the newest first. Those of agents' runs are not theirs."""
    return await _select(db, "organization_id = %s AND revoked_at IS NULL AND counts_for = '{}'", (organization_id,))


async def key_names(db: Connection, organization_id: UUID) -> dict[UUID, str]:
    """What each key of an organization is called, revoked ones too, because usage names them; the newest first.

    Last come the programs that its members signed in, and their playgrounds, whose calls have no key.
    """
    rows = await db.execute(
        "SELECT id, name FROM identity_keys WHERE organization_id = %s ORDER BY id DESC", (organization_id,)
    )
    names: dict[UUID, str] = dict(await rows.fetchall())
    members = await db.execute(
        """
        SELECT p.id, p.email FROM identity_memberships m JOIN identity_people p ON p.id = m.person_id
         WHERE m.organization_id = %s ORDER BY p.email
        """,
        (organization_id,),
    )
    devices = await db.execute(
        """
        SELECT d.id, d.name FROM identity_devices d JOIN identity_memberships m ON m.person_id = d.person_id
         WHERE m.organization_id = %s ORDER BY d.id DESC
        """,
        (organization_id,),
    )
    return names | dict(await devices.fetchall()) | playground_names(await members.fetchall())


async def _select(db: Connection, where: str, values: tuple[object, ...]) -> list[Key]:
    rows = await db.execute(
        f"""
        SELECT id, organization_id, person_id, name, hint, scopes, created_at, used_at, revoked_at, expires_at,
               disabled_at, updated_at
          FROM identity_keys WHERE {where}
         ORDER BY created_at DESC, id DESC
        """,
        values,
    )
    found = await rows.fetchall()
    limits = await limits_of(db, [row[0] for row in found])
    return [
        Key(
            id=row[0],
            organization_id=row[1],
            person_id=row[2],
            name=row[3],
            hint=row[4],
            scopes=tuple(row[5]),
            limit=next(iter(limits.get(row[0], [])), None),
            created_at=row[6],
            used_at=row[7],
            revoked_at=row[8],
            expires_at=row[9],
            disabled_at=row[10],
            updated_at=row[11],
        )
        for row in found
    ]


def _check_limit(limit: Money | None) -> None:
    if limit is not None and limit.nanos <= 0:
        raise InvalidInput(say("A limit is more than nothing. Leave it empty for a key without one."), field="limit")


def _check_expiry(expires_at: datetime | None) -> None:
    now = system_clock()
    if expires_at is not None and not now < expires_at <= now + EXPIRES_IN_MAX:
        raise InvalidInput(say("A key ends at some time from now on, within ten years."), field="expires_at")


async def _check_room(db: Connection, organization_id: OrganizationId) -> None:
    rows = await db.execute(
        """
        SELECT count(*) FILTER (WHERE revoked_at IS NULL),
               count(*) FILTER (WHERE created_at > now() - interval '1 hour')
          FROM identity_keys WHERE organization_id = %s AND counts_for = '{}'
        """,
        (organization_id,),
    )
    row = await rows.fetchone()
    assert row is not None
    live, made = row
    if live >= KEYS_MAX:
        raise Conflict(say("There are %(most)s keys already. Revoke one that is no longer used.", most=KEYS_MAX))
    if made >= KEYS_PER_HOUR_MAX:
        raise TooManyRequests(say("Too many keys were made in the last hour. Try again later."), retry_after_s=600)


def read_scopes(scopes: Sequence[str]) -> tuple[Scope, ...]:
    """The scopes in their fixed order, each once. Raises InvalidInput for none and for unknown ones."""
    if not scopes or not set(scopes) <= set(SCOPES):
        raise InvalidInput(f"A key has one or more of these scopes: {', '.join(SCOPES)}.", field="scope")
    return tuple(scope for scope in SCOPES if scope in scopes)


def new_secret() -> str:
    """A new secret: 256 random bits and a checksum, so that a mistyped one is known without looking it up."""
    body = _base62(secrets.randbits(256), _BODY_LENGTH)
    return f"{PREFIX}{body}{_checksum(body)}"


def looks_real(secret: str) -> bool:
    """Whether this has the form and the checksum of a secret of ours."""
    if len(secret) != len(PREFIX) + _BODY_LENGTH + _CHECK_LENGTH or not secret.startswith(PREFIX):
        return False
    body, checksum = secret[len(PREFIX) : -_CHECK_LENGTH], secret[-_CHECK_LENGTH:]
    return body.isascii() and checksum == _checksum(body)


def hash_secret(secret: str) -> bytes:
    """What is stored of a secret. 256 random bits need no slow hash: nobody can try them all."""
    return sha256(secret.encode("utf-8", "replace")).digest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK_LENGTH)


def _base62(number: int, length: int) -> str:
    letters = ""
    for _ in range(length):
        number, rest = divmod(number, 62)
        letters = _LETTERS[rest] + letters
    return letters
