"""People: registering them, finding them by their address, and who has an address.

An address belongs to nobody until somebody has proved that it is theirs. So several unverified people may have typed
the same one; at most one of them becomes verified.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from pouch.base.database import Connection
from pouch.base.errors import InvalidInput
from pouch.base.ids import new_id, read_id
from pouch.base.money import ZERO, Money
from pouch.identity.addresses import Address, read_address
from pouch.identity.errors import AddressTaken
from pouch.identity.types import OrganizationId, Person, PersonId
from pouch.identity.welcome import give_welcome
from pouch.ledger.accounts import open_account

_LOCK = 0x616464726573  # "addres": with an address's hash, the advisory lock under which it changes hands


@dataclass(frozen=True, slots=True)
class Candidates:
    """Who may be meant by an address, with the hash of their password: for the one place that compares it."""

    verified: tuple[Person, str | None] | None = None
    unverified: tuple[Person, str | None] | None = None
    """The newest of those who have not proved it."""


async def add_person(  # noqa: PLR0913 -- three by position, the rest by name
    db: Connection,
    email: str,
    password_hash: str | None,
    *,
    verified: bool,
    operator: bool = False,
    welcome: Money = ZERO,
) -> Person:
    """Register a person with a personal organization and its ledger account; a verified one gets the welcome credits.

    All of it is one transaction with the caller's. Raises InvalidInput for what is not an address. A verified person
    waits for a registration of the same address under way and raises AddressTaken when somebody has it, in any
    spelling; an unverified one has nothing yet and is never refused.
    """
    address = read_address(email)
    if verified:
        await hold_addresses(db, address.canonical)
        if await is_taken(db, address.canonical):
            raise AddressTaken
    person_id = PersonId(new_id())
    added = await db.execute(
        """
        INSERT INTO identity_people (id, email, email_canonical, password_hash, is_operator, verified_at)
        VALUES (%s, %s, %s, %s, %s, CASE WHEN %s THEN now() END)
        RETURNING verified_at
        """,
        (person_id, address.shown, address.canonical, password_hash, operator, verified),
    )
    row = await added.fetchone()
    assert row is not None
    organization_id = await _add_personal_organization(db, person_id, name=address.shown)
    person = Person(person_id, address.shown, organization_id, operator, row[0])
    if verified:
        await give_welcome(db, organization_id, address.canonical, welcome)
    return person


async def find_person(db: Connection, email: str) -> Person | None:
    """The person with this address, in any spelling of it: the verified one, else the newest."""
    found = await find_candidates(db, email)
    best = found.verified or found.unverified
    return best[0] if best else None


async def get_person(db: Connection, person_id: PersonId) -> Person | None:
    """A person by their id, locked until the transaction ends. None once they deleted their account."""
    rows = await db.execute(
        f"{_SELECT} WHERE p.id = %s AND p.deleted_at IS NULL FOR NO KEY UPDATE OF p".encode(), (person_id,)
    )
    row = await rows.fetchone()
    return Person(*row[:5]) if row else None


async def find_person_with_id(db: Connection, person_id: PersonId) -> Person | None:
    """A person by their id, only to look at. None once they deleted their account."""
    rows = await db.execute(f"{_SELECT} WHERE p.id = %s AND p.deleted_at IS NULL".encode(), (person_id,))
    row = await rows.fetchone()
    return Person(*row[:5]) if row else None


async def operator_addresses(db: Connection) -> list[str]:
    """The addresses of everybody who runs this Pouch, for what a person must look at."""
    rows = await db.execute(
        """
        SELECT email FROM identity_people
         WHERE is_operator AND verified_at IS NOT NULL AND deleted_at IS NULL ORDER BY id
        """
    )
    return [email for (email,) in await rows.fetchall()]


@dataclass(frozen=True, slots=True)
class Found:
    """A person or an organization that they belong to, as the operator finds it."""

    email: str
    organization_id: OrganizationId
    organization: str
    role: str
    is_operator: bool
    verified_at: datetime | None
    created_at: datetime


async def search_people(db: Connection, text: str, limit: int = 50) -> list[Found]:
    """People and their organizations, the newest first. `text`: part of an address or name, or an id (org_…)."""
    like = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    rows = await db.execute(
        """
        SELECT p.email, o.id, o.name, m.role, p.is_operator, p.verified_at, p.created_at
          FROM identity_people AS p
          JOIN identity_memberships AS m ON m.person_id = p.id
          JOIN identity_organizations AS o ON o.id = m.organization_id
         WHERE p.deleted_at IS NULL AND (p.email ILIKE %(like)s OR o.name ILIKE %(like)s OR o.id = %(id)s)
         ORDER BY p.created_at DESC, p.id, o.id LIMIT %(limit)s
        """,
        {"like": like, "id": read_id("org", text), "limit": limit},
    )
    return [Found(*row) for row in await rows.fetchall()]


async def find_candidates(db: Connection, email: str) -> Candidates:
    """Everybody a sign-in with this address may mean. The same question whoever is there."""
    try:
        canonical = read_address(email).canonical
    except InvalidInput:
        return Candidates()
    rows = await db.execute(
        f"""
        ({_SELECT} WHERE p.email_canonical = %(canonical)s AND p.verified_at IS NOT NULL)
        UNION ALL
        ({_SELECT} WHERE p.email_canonical = %(canonical)s AND p.verified_at IS NULL ORDER BY p.id DESC LIMIT 1)
        """.encode(),
        {"canonical": canonical},
    )
    found = [(Person(*row[:5]), row[5]) for row in await rows.fetchall()]
    return Candidates(
        verified=next((each for each in found if each[0].verified_at is not None), None),
        unverified=next((each for each in found if each[0].verified_at is None), None),
    )


async def hold_addresses(db: Connection, *canonical: str) -> None:
    """Let nobody else take or leave these addresses until the transaction ends. In order, so nobody deadlocks."""
    for each in sorted(set(canonical)):
        await db.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", (each, _LOCK))


async def is_taken(db: Connection, canonical: str, *, but_for: PersonId | None = None) -> bool:
    """Whether somebody else has proved that the address is theirs, or had it until lately and may want it back."""
    rows = await db.execute(
        """
        SELECT EXISTS (
            SELECT FROM identity_people
             WHERE email_canonical = %(canonical)s AND verified_at IS NOT NULL AND id IS DISTINCT FROM %(but_for)s
        ) OR EXISTS (
            SELECT FROM identity_links
             WHERE email_canonical = %(canonical)s AND kind = 'undo' AND ended_at IS NULL AND expires_at > now()
               AND person_id IS DISTINCT FROM %(but_for)s
        )
        """,
        {"canonical": canonical, "but_for": but_for},
    )
    row = await rows.fetchone()
    return row is not None and row[0]


async def give_address(db: Connection, person: Person, address: Address, *, welcome: Money = ZERO) -> Person:
    """Let a person have an address that they proved to be theirs; the first one brings the welcome credits.

    Returns the person as they are now. Repeating it changes nothing. Raises AddressTaken when somebody was quicker.
    """
    await hold_addresses(db, address.canonical, read_address(person.email).canonical)
    if await is_taken(db, address.canonical, but_for=person.id):
        raise AddressTaken
    changed = await db.execute(
        """
        UPDATE identity_people
           SET email = %(email)s, email_canonical = %(canonical)s, verified_at = coalesce(verified_at, now())
         WHERE id = %(id)s
        RETURNING verified_at
        """,
        {"email": address.shown, "canonical": address.canonical, "id": person.id},
    )
    await db.execute(
        "UPDATE identity_organizations SET name = %s WHERE personal_of = %s AND name = %s",
        (address.shown, person.id, person.email),
    )
    if person.verified_at is None:
        await give_welcome(db, person.organization_id, address.canonical, welcome)
    row = await changed.fetchone()
    assert row is not None
    return replace(person, email=address.shown, verified_at=row[0])


async def password_hash_of(db: Connection, person_id: PersonId) -> str | None:
    """The hash of a person's password, if they have one, for the places that compare it."""
    rows = await db.execute("SELECT password_hash FROM identity_people WHERE id = %s", (person_id,))
    row = await rows.fetchone()
    return row[0] if row else None


async def has_password_hash(db: Connection, person_id: PersonId, stored: str) -> bool:
    """Whether this is still the person's password hash. It cannot change before the transaction ends."""
    rows = await db.execute(
        "SELECT 1 FROM identity_people WHERE id = %s AND password_hash = %s FOR SHARE", (person_id, stored)
    )
    return await rows.fetchone() is not None


async def change_password_hash(db: Connection, person_id: PersonId, *, old: str, new: str) -> bool:
    """Store another hash, if the stored one is still `old`. Says whether it was."""
    changed = await db.execute(
        "UPDATE identity_people SET password_hash = %s WHERE id = %s AND password_hash = %s", (new, person_id, old)
    )
    return changed.rowcount == 1


async def set_password_hash(db: Connection, person_id: PersonId, new: str | None) -> None:
    """Store another hash, whatever there was; None lets nobody in by password until one is chosen."""
    await db.execute("UPDATE identity_people SET password_hash = %s WHERE id = %s", (new, person_id))


_SELECT = """
SELECT p.id, p.email, o.id, p.is_operator, p.verified_at, p.password_hash
  FROM identity_people p
  JOIN identity_organizations o ON o.personal_of = p.id
"""


async def _add_personal_organization(db: Connection, person_id: PersonId, *, name: str) -> OrganizationId:
    organization_id = OrganizationId(new_id())
    await db.execute(
        "INSERT INTO identity_organizations (id, name, personal_of) VALUES (%s, %s, %s)",
        (organization_id, name, person_id),
    )
    await db.execute(
        "INSERT INTO identity_memberships (organization_id, person_id, role) VALUES (%s, %s, 'owner')",
        (organization_id, person_id),
    )
    await open_account(db, organization_id)
    return organization_id
