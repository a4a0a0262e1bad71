"""What a signed-in program is told about its person: who they are, and which organizations they belong to."""

from dataclasses import dataclass
from datetime import datetime

from pouch.base.database import Connection
from pouch.base.errors import NotFound
from pouch.base.languages import say
from pouch.identity.types import OrganizationId, PersonId, Role


@dataclass(frozen=True, slots=True)
class Profile:
    """A person."""

    id: PersonId
    email: str
    is_verified: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Membership:
    """An organization that a person belongs to, and as what."""

    organization_id: OrganizationId
    name: str
    is_personal: bool
    role: Role
    since: datetime
    founded_at: datetime


async def find_profile(db: Connection, person_id: PersonId) -> Profile:
    """A person by their id. Raises NotFound once they deleted their account."""
    rows = await db.execute(
        """
        SELECT id, email, verified_at IS NOT NULL, created_at FROM identity_people WHERE id = %s AND deleted_at IS NULL
        """,
        (person_id,),
    )
    row = await rows.fetchone()
    if row is None:
        raise NotFound(say("There is no such person."))
    return Profile(*row)


async def memberships_of(db: Connection, person_id: PersonId) -> list[Membership]:
    """All organizations of a person: their own first, then the shared ones by name."""
    rows = await db.execute(
        """
        SELECT o.id, o.name, o.personal_of IS NOT NULL, m.role, m.created_at, o.created_at
          FROM identity_memberships m JOIN identity_organizations o ON o.id = m.organization_id
         WHERE m.person_id = %s
         ORDER BY o.personal_of IS NULL, o.name, o.id
        """,
        (person_id,),
    )
    return [Membership(*row) for row in await rows.fetchall()]
