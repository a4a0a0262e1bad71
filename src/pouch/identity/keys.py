"""API keys: made once, shown once, stored as a hash, revoked for good."""

import secrets
import zlib
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.errors import Conflict, InvalidInput, NotFound
from pouch.base.ids import new_id
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.identity.errors import KeyMadeBefore
from pouch.identity.organizations import read_name
from pouch.identity.playground import playground_names
from pouch.identity.types import SCOPES, Caller, Key, KeyId, OrganizationId, Person, Scope
from pouch.ledger.blocks import block
from pouch.ledger.limits import limits_of, set_limit
from pouch.web.viewer import Viewer

PREFIX = "sk-pouch-"
KEYS_MAX = 200
"""Live keys of one organization."""
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
    key_id: KeyId | None = None,
) -> tuple[Key, str]:
    """Make a key for a person's organization. The secret is in the answer and nowhere else.

    `limit` caps what may ever be spent with it. `key_id`, when given, is derived from the form that asks for the key:
    coming a second time it raises KeyMadeBefore. Raises InvalidInput for a name, scope or limit that cannot be, and
    Conflict when the organization has as many keys as it may.
    """
    person_id = owner.id if isinstance(owner, Person) else owner.person_id
    organization_id = OrganizationId(owner.organization_id)
    name, scopes = read_name(name), read_scopes(scopes)
    if limit is not None and limit.nanos <= 0:
        raise InvalidInput(say("A limit is more than nothing. Leave it empty for a key without one."), field="limit")
    await _check_room(db, organization_id)
    secret = new_secret()
    added = await db.execute(
        """
        INSERT INTO identity_keys (id, organization_id, person_id, name, secret_hash, hint, scopes)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (id) DO NOTHING
        RETURNING id
        """,
        (
            key_id or new_id(),
            organization_id,
            person_id,
            name,
            hash_secret(secret),
            secret[-4:],
            list(scopes),
        ),
    )
    row = await added.fetchone()
    if row is None:
        raise KeyMadeBefore
    if limit is not None:
        await set_limit(db, row[0], kind="key", period="ever", cap=limit)
    return await find_key(db, organization_id, row[0]), secret


async def find_caller(db: Connection, secret: str) -> Caller | None:
    """Whose key this is and what it may do. None for anything that is not a live key."""
    if not looks_real(secret):
        return None
    rows = await db.execute(
        """
        SELECT id, organization_id, person_id, scopes, counts_for, model_ids FROM identity_keys
         WHERE secret_hash = %s AND revoked_at IS NULL
        """,
        (hash_secret(secret),),
    )
    row = await rows.fetchone()
    if row is None:
        return None
    model_ids = None if row[5] is None else frozenset(row[5])
    return Caller(row[0], row[1], row[2], frozenset(row[3]), tuple(row[4]), model_ids)


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
        SELECT id, organization_id, person_id, name, hint, scopes, created_at, used_at, revoked_at
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
            limit=next((limit for limit in limits.get(row[0], []) if limit.period == "ever"), None),
            created_at=row[6],
            used_at=row[7],
            revoked_at=row[8],
        )
        for row in found
    ]


async def _check_room(db: Connection, organization_id: OrganizationId) -> None:
    rows = await db.execute(
        "SELECT count(*) FROM identity_keys WHERE organization_id = %s AND revoked_at IS NULL AND counts_for = '{}'",
        (organization_id,),
    )
    row = await rows.fetchone()
    if row and row[0] >= KEYS_MAX:
        raise Conflict(say("There are %(most)s keys already. Revoke one that is no longer used.", most=KEYS_MAX))


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
