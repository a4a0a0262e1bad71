"""Links to tasks for others: made by the person, for a time, and ended by them. Nothing is shared by itself."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.errors import NotFound
from pouch.base.ids import new_id
from pouch.base.languages import say
from pouch.identity.types import OrganizationId, PersonId

Visibility = Literal["organization", "public"]
PURPOSE = "task-share"
_OPEN = "s.revoked_at IS NULL AND s.expires_at > now()"
# The owners' word holds for links that are out, too. Without a row it is what `OrganizationSettings` begins with.
_LET = """
coalesce(o.shares_tasks, true)
AND (s.visibility = 'organization' OR coalesce(o.shares_publicly, own.personal_of IS NOT NULL))
"""


@dataclass(frozen=True, slots=True)
class Share:
    """A link that works."""

    id: UUID
    task_id: UUID
    visibility: Visibility
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SharedTask:
    """What a link leads to."""

    share: Share
    person_id: PersonId
    organization_id: OrganizationId


async def share_task(db: Connection, task_id: UUID, visibility: Visibility, *, days: int) -> tuple[Share, bool]:
    """The link of a task to those who may see it, and whether it is new: shared again, it is the same link."""
    for share in await shares_of(db, task_id):
        if share.visibility == visibility:
            return share, False
    made = await db.execute(
        """
        INSERT INTO roo_shares AS s (id, task_id, visibility, expires_at)
        VALUES (%s, %s, %s, now() + make_interval(days => %s))
        RETURNING s.id, s.task_id, s.visibility, s.created_at, s.expires_at
        """,
        (new_id(), task_id, visibility, days),
    )
    row = await made.fetchone()
    assert row is not None
    return Share(*row), True


async def shares_of(db: Connection, task_id: UUID) -> list[Share]:
    """The links of a task that work, the newest first."""
    rows = await db.execute(
        f"""
        SELECT s.id, s.task_id, s.visibility, s.created_at, s.expires_at
          FROM roo_shares s WHERE s.task_id = %s AND {_OPEN} ORDER BY s.id DESC
        """.encode(),
        (task_id,),
    )
    return [Share(*row) for row in await rows.fetchall()]


async def find_shared(db: Connection, share_id: UUID) -> SharedTask:
    """What a link leads to. Raises NotFound once it has ended, and while the owners let no such link be made."""
    rows = await db.execute(
        f"""
        SELECT s.id, s.task_id, s.visibility, s.created_at, s.expires_at, t.person_id, t.organization_id
          FROM roo_shares s
          JOIN roo_tasks t ON t.id = s.task_id AND t.deleted_at IS NULL
          JOIN identity_organizations own ON own.id = t.organization_id
          LEFT JOIN roo_organization_settings o ON o.organization_id = t.organization_id
         WHERE s.id = %s AND {_OPEN} AND {_LET}
        """.encode(),
        (share_id,),
    )
    row = await rows.fetchone()
    if row is None:
        raise NotFound(say("This link has ended, or was never here."))
    return SharedTask(Share(*row[:5]), row[5], row[6])


async def end_share(db: Connection, person_id: PersonId, share_id: UUID) -> None:
    """End a link to a person's task. Repeating it changes nothing, and other people's are left alone."""
    await db.execute(
        """
        UPDATE roo_shares s SET revoked_at = now() FROM roo_tasks t
         WHERE t.id = s.task_id AND t.person_id = %s AND s.id = %s AND s.revoked_at IS NULL
        """,
        (person_id, share_id),
    )
