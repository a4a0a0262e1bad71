"""Organizations that people share, and who belongs to them."""

from uuid import UUID

from pouch.base.database import Connection
from pouch.base.errors import Conflict, InvalidInput
from pouch.base.ids import new_id, read_id
from pouch.base.languages import say
from pouch.identity.addresses import read_address
from pouch.identity.types import Organization, OrganizationId, Person, PersonId, Role
from pouch.ledger.accounts import open_account

NAME_LENGTH_MAX = 80


async def add_organization(db: Connection, name: str, owner: Person) -> Organization:
    """Found an organization with its ledger account. Names need not be unique; ids are."""
    name = read_name(name)
    organization = Organization(OrganizationId(new_id()), name, is_personal=False)
    await db.execute("INSERT INTO identity_organizations (id, name) VALUES (%s, %s)", (organization.id, name))
    await add_member(db, organization, owner, "owner")
    await open_account(db, organization.id)
    return organization


async def add_member(db: Connection, organization: Organization, person: Person, role: Role) -> None:
    """Let a person belong to an organization. Raises Conflict when they already do, in whatever role."""
    added = await db.execute(
        """
        INSERT INTO identity_memberships (organization_id, person_id, role) VALUES (%s, %s, %s)
        ON CONFLICT (organization_id, person_id) DO NOTHING
        """,
        (organization.id, person.id, role),
    )
    if added.rowcount == 0:
        raise Conflict(f"{person.email} already belongs to {organization.name}.")


async def find_organizations(db: Connection, text: str) -> list[Organization]:
    """The organization with this id (org_…), or all shared ones with exactly this name."""
    rows = await db.execute(
        """
        SELECT id, name, personal_of IS NOT NULL FROM identity_organizations
         WHERE id = %(id)s OR (name = %(name)s AND personal_of IS NULL)
         ORDER BY id
        """,
        {"id": read_id("org", text), "name": text.strip()},
    )
    return [Organization(*row) for row in await rows.fetchall()]


async def owner_of(db: Connection, organization_id: OrganizationId) -> PersonId | None:
    """Whose own organization this is. None for a shared one."""
    rows = await db.execute("SELECT personal_of FROM identity_organizations WHERE id = %s", (organization_id,))
    row = await rows.fetchone()
    return row[0] if row else None


async def role_of(db: Connection, organization_id: UUID, person_id: UUID) -> Role | None:
    """What somebody is in an organization. None when they do not belong to it, or their account is deleted."""
    rows = await db.execute(
        """
        SELECT m.role FROM identity_memberships AS m JOIN identity_people AS p ON p.id = m.person_id
         WHERE m.organization_id = %s AND m.person_id = %s AND p.deleted_at IS NULL
        """,
        (organization_id, person_id),
    )
    row = await rows.fetchone()
    return row[0] if row else None


async def member_with_address(db: Connection, organization_id: UUID, email: str) -> PersonId | None:
    """Who of an organization has this address, verified. None for everybody else's, and for what is no address."""
    try:
        canonical = read_address(email).canonical
    except InvalidInput:
        return None
    rows = await db.execute(
        """
        SELECT p.id FROM identity_people AS p JOIN identity_memberships AS m ON m.person_id = p.id
         WHERE m.organization_id = %s AND p.email_canonical = %s AND p.verified_at IS NOT NULL AND p.deleted_at IS NULL
        """,
        (organization_id, canonical),
    )
    row = await rows.fetchone()
    return row[0] if row else None


async def owner_emails(db: Connection, organization_id: UUID) -> list[str]:
    """The addresses of those who own an organization."""
    rows = await db.execute(
        """
        SELECT p.email FROM identity_memberships AS m JOIN identity_people AS p ON p.id = m.person_id
         WHERE m.organization_id = %s AND m.role = 'owner' AND p.deleted_at IS NULL ORDER BY p.email
        """,
        (organization_id,),
    )
    return [email for (email,) in await rows.fetchall()]


def read_name(text: str) -> str:
    """A name for people to read: one line, 1 to 80 characters. Raises InvalidInput."""
    name = " ".join(text.split())
    if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidInput(say("A name has 1 to %(most)s characters on one line.", most=NAME_LENGTH_MAX), field="name")
    return name


async def owner_addresses(db: Connection, organization_id: UUID) -> list[str]:
    """The verified addresses of an organization's owners: who is told about its money."""
    rows = await db.execute(
        """
        SELECT p.email FROM identity_memberships AS m JOIN identity_people AS p ON p.id = m.person_id
         WHERE m.organization_id = %s AND m.role = 'owner' AND p.verified_at IS NOT NULL AND p.deleted_at IS NULL
         ORDER BY p.id
        """,
        (organization_id,),
    )
    return [email for (email,) in await rows.fetchall()]
