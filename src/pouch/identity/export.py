"""Everything that is kept about a person, as JSON."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TypeAlias

from pouch.base.database import Connection
from pouch.base.ids import show_id
from pouch.identity.keys import list_keys
from pouch.identity.people import get_person
from pouch.identity.sessions import list_sessions
from pouch.identity.types import OrganizationId, PersonId

Json: TypeAlias = "str | int | bool | list[Json] | dict[str, Json] | None"
Exporter: TypeAlias = Callable[[Connection, OrganizationId], Awaitable[Json]]
"""What a room above this one keeps about an organization."""


async def export_account(db: Connection, person_id: PersonId, exporters: Mapping[str, Exporter]) -> dict[str, Json]:
    """The person, their organizations, sessions and keys without secrets, and what each exporter gives, by its name."""
    person = await get_person(db, person_id)
    assert person is not None
    return {
        "person": {
            "id": show_id("usr", person.id),
            "email": person.email,
            "is_operator": person.is_operator,
            "verified_at": _time(person.verified_at),
        },
        "organizations": await _organizations(db, person_id),
        "sessions": [
            {
                "browser": session.user_agent,
                "address": session.address,
                "signed_in_at": _time(session.created_at),
                "seen_at": _time(session.seen_at),
            }
            for session in await list_sessions(db, person_id)
        ],
        "keys": await _keys(db, person.organization_id),
        **{name: await exporter(db, person.organization_id) for name, exporter in exporters.items()},
    }


async def _organizations(db: Connection, person_id: PersonId) -> Json:
    rows = await db.execute(
        """
        SELECT o.id, o.name, o.personal_of IS NOT NULL, m.role, m.created_at
          FROM identity_memberships m JOIN identity_organizations o ON o.id = m.organization_id
         WHERE m.person_id = %s ORDER BY o.id
        """,
        (person_id,),
    )
    return [
        {"id": show_id("org", id_), "name": name, "is_personal": is_personal, "role": role, "since": _time(since)}
        for id_, name, is_personal, role, since in await rows.fetchall()
    ]


async def _keys(db: Connection, organization_id: OrganizationId) -> Json:
    return [
        {
            "id": show_id("key", key.id),
            "name": key.name,
            "ends_with": key.hint,
            "scopes": list(key.scopes),
            "limit_usd": key.limit.cap.decimal() if key.limit else None,
            "limit_period": key.limit.period if key.limit else None,
            "ends_at": _time(key.expires_at),
            "made_at": _time(key.created_at),
            "used_at": _time(key.used_at),
        }
        for key in await list_keys(db, organization_id)
    ]


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
