"""What people and organizations want of their editors, with a version that changes with every change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from psycopg.types.json import Jsonb

from pouch.base.database import Connection
from pouch.base.errors import Conflict
from pouch.identity.types import OrganizationId, PersonId

KEEP_DAYS = (7, 30, 90, 365)
"""What a person may choose; None is for ever."""
SHARE_DAYS = (1, 7, 30, 90, 365)
_CHANGED = "These settings were changed meanwhile. Look at them again, then change them."


@dataclass(frozen=True, slots=True)
class PersonSettings:
    """A person's."""

    version: int
    keeps_tasks: bool
    """Whether their editors may keep a history of their tasks here."""
    keep_days: int | None
    llm_features: bool | None


@dataclass(frozen=True, slots=True)
class OrganizationSettings:
    """An organization's. A person's own has these defaults, apart from public links."""

    version: int = 0
    records_tasks: bool = False
    members_see_tasks: bool = False
    """Whether members see one another's tasks."""
    shares_tasks: bool = True
    shares_publicly: bool = False
    share_days: int = 30
    allows_all: bool = True
    allowed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The providers that editors may use, each with its models; without any, all of its models."""
    hidden_mcps: tuple[str, ...] = ()
    hides_marketplace: bool = False

    def lets(self, visibility: Literal["organization", "public"]) -> bool:
        """Whether such links may be made, and open something."""
        return self.shares_tasks and (visibility == "organization" or self.shares_publicly)


async def person_settings(db: Connection, person_id: PersonId) -> PersonSettings:
    """What a person wants."""
    rows = await db.execute(f"{_PERSON} WHERE person_id = %s".encode(), (person_id,))
    row = await rows.fetchone()
    if row is None:
        await db.execute("INSERT INTO roo_person_settings (person_id) VALUES (%s) ON CONFLICT DO NOTHING", (person_id,))
        rows = await db.execute(f"{_PERSON} WHERE person_id = %s".encode(), (person_id,))
        row = await rows.fetchone()
    assert row is not None
    return PersonSettings(*row)


async def change_person_settings(  # noqa: PLR0913 -- whose by position, the rest by name
    db: Connection,
    person_id: PersonId,
    *,
    version: int | None = None,
    keeps_tasks: bool | None = None,
    llm_features: bool | None = None,
    keep_days: int | None = None,
    changes_days: bool = False,
) -> PersonSettings:
    """Change what is given; `keep_days` only if `changes_days`.

    Raises Conflict when `version` is not the current one.
    """
    before = await person_settings(db, person_id)
    changed = await db.execute(
        """
        UPDATE roo_person_settings
           SET version = nextval('roo_settings_versions'), keeps_tasks = %(keeps)s, llm_features = %(llm)s,
               keep_days = %(days)s
         WHERE person_id = %(person)s AND version = %(version)s
        RETURNING version, keeps_tasks, keep_days, llm_features
        """,
        {
            "person": person_id,
            "version": before.version if version is None else version,
            "keeps": before.keeps_tasks if keeps_tasks is None else keeps_tasks,
            "llm": before.llm_features if llm_features is None else llm_features,
            "days": keep_days if changes_days else before.keep_days,
        },
    )
    row = await changed.fetchone()
    if row is None:
        raise Conflict(_CHANGED)
    after = PersonSettings(*row)
    if after.keeps_tasks != before.keeps_tasks:
        # The settings of the person's own organization show this, too.
        await db.execute(
            """
            UPDATE roo_organization_settings SET version = nextval('roo_settings_versions')
             WHERE organization_id = (SELECT id FROM identity_organizations WHERE personal_of = %s)
            """,
            (person_id,),
        )
    return after


async def organization_settings(
    db: Connection, organization_id: OrganizationId, *, is_personal: bool
) -> OrganizationSettings:
    """What an organization wants. A person's own is not shared, so its one decision is the person's."""
    rows = await db.execute(f"{_ORGANIZATION} WHERE organization_id = %s".encode(), (organization_id,))
    row = await rows.fetchone()
    if row is None:
        await db.execute(
            """
            INSERT INTO roo_organization_settings (organization_id, records_tasks, shares_publicly)
            VALUES (%(id)s, %(personal)s, %(personal)s) ON CONFLICT DO NOTHING
            """,
            {"id": organization_id, "personal": is_personal},
        )
        rows = await db.execute(f"{_ORGANIZATION} WHERE organization_id = %s".encode(), (organization_id,))
        row = await rows.fetchone()
    assert row is not None
    version, records, members_see, shares, publicly, days, allows_all, allowed, hidden_mcps, hides_marketplace = row
    return OrganizationSettings(
        version=version,
        records_tasks=records,
        members_see_tasks=members_see,
        shares_tasks=shares,
        shares_publicly=publicly,
        share_days=days,
        allows_all=allows_all,
        allowed=allowed,
        hidden_mcps=tuple(hidden_mcps),
        hides_marketplace=hides_marketplace,
    )


async def change_organization_settings(
    db: Connection, organization_id: OrganizationId, wanted: OrganizationSettings, *, version: int | None
) -> OrganizationSettings:
    """Store what the owners want. Raises Conflict when `version` is given and not the current one."""
    before = await organization_settings(db, organization_id, is_personal=False)
    changed = await db.execute(
        """
        UPDATE roo_organization_settings
           SET version = nextval('roo_settings_versions'), records_tasks = %s, members_see_tasks = %s,
               shares_tasks = %s, shares_publicly = %s, share_days = %s, allows_all = %s, allowed = %s,
               hidden_mcps = %s, hides_marketplace = %s
         WHERE organization_id = %s AND version = %s
        """,
        (
            wanted.records_tasks,
            wanted.members_see_tasks,
            wanted.shares_tasks,
            wanted.shares_publicly,
            wanted.share_days,
            wanted.allows_all,
            Jsonb({name: list(models) for name, models in wanted.allowed.items()}),
            list(wanted.hidden_mcps),
            wanted.hides_marketplace,
            organization_id,
            before.version if version is None else version,
        ),
    )
    if changed.rowcount == 0:
        raise Conflict(_CHANGED)
    return await organization_settings(db, organization_id, is_personal=False)


async def onlookers_of(db: Connection, person_id: PersonId) -> list[tuple[OrganizationId, str]]:
    """The organizations whose members see tasks that this person did, or does, for them; by name."""
    rows = await db.execute(
        """
        SELECT o.id, o.name
          FROM roo_organization_settings s JOIN identity_organizations o ON o.id = s.organization_id
         WHERE s.members_see_tasks AND (
               s.records_tasks AND EXISTS (SELECT FROM identity_memberships m
                                            WHERE m.organization_id = o.id AND m.person_id = %(person)s)
               OR EXISTS (SELECT FROM roo_tasks t
                           WHERE t.organization_id = o.id AND t.person_id = %(person)s AND t.deleted_at IS NULL))
         ORDER BY o.name, o.id
        """,
        {"person": person_id},
    )
    return [(row[0], row[1]) for row in await rows.fetchall()]


async def records_tasks(
    db: Connection, person_id: PersonId, organization_id: OrganizationId, *, is_personal: bool
) -> bool:
    """Whether tasks are kept: a person decides on their own, and the owners of an organization on its members'."""
    if is_personal:
        return (await person_settings(db, person_id)).keeps_tasks
    return (await organization_settings(db, organization_id, is_personal=False)).records_tasks


_PERSON = "SELECT version, keeps_tasks, keep_days, llm_features FROM roo_person_settings"
_ORGANIZATION = """
SELECT version, records_tasks, members_see_tasks, shares_tasks, shares_publicly, share_days, allows_all, allowed,
       hidden_mcps, hides_marketplace
  FROM roo_organization_settings
"""
