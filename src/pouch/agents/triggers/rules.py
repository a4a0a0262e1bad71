"""The rules of an organization: when which thing happens where, what run starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from psycopg.types.json import Jsonb

from pouch.agents.triggers.types import HAPPENINGS, SOURCES, Event, Happening, Source
from pouch.base.database import Connection
from pouch.base.errors import InvalidInput, NotFound
from pouch.base.ids import new_id, show_id
from pouch.base.languages import say

RULES_MAX = 50
ASKED = ("agent", "repository", "branch", "model", "engine", "cap_usd", "minutes")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `place` empty: everywhere. `told` says why it last started nothing."""

    id: UUID
    organization_id: UUID
    person_id: UUID
    source: Source
    happening: Happening
    place: str
    label: str
    fields: Mapping[str, str]
    environment_id: UUID | None
    is_on: bool
    last_run_id: UUID | None
    told: str

    @property
    def shown_id(self) -> str:
        """As it stands in addresses."""
        return show_id("trig", self.id)

    @property
    def last_run(self) -> str:
        """The run that it started last, or nothing."""
        return show_id("run", self.last_run_id) if self.last_run_id else ""


@dataclass(frozen=True, slots=True)
class New:
    """A rule that is to be made."""

    source: str
    happening: str
    place: str = ""
    label: str = ""
    fields: Mapping[str, str] | None = None
    environment_id: UUID | None = None
    is_on: bool = True


async def list_rules(db: Connection, organization_id: UUID) -> list[Rule]:
    """All of an organization's."""
    return await _select(db, "organization_id = %s", (organization_id,))


async def find_rule(db: Connection, organization_id: UUID, rule_id: UUID) -> Rule:
    """One of this organization. Raises NotFound."""
    found = await _select(db, "organization_id = %s AND id = %s", (organization_id, rule_id))
    if not found:
        raise NotFound(say("There is no such automation."))
    return found[0]


async def rule_for(db: Connection, organization_id: UUID, event: Event) -> Rule | None:
    """The rule that fits: that of the place before that of everywhere, of these the oldest. None: nothing starts."""
    found = await _select(
        db,
        "organization_id = %s AND source = %s AND happening = %s AND is_on AND lower(label) = lower(%s)"
        " AND (place = '' OR lower(place) = lower(%s))",
        (organization_id, event.source, event.happening, event.label, event.place),
    )
    return min(found, key=lambda rule: (rule.place == "", rule.id), default=None)


async def add_rule(db: Connection, organization_id: UUID, person_id: UUID, new: New) -> UUID:
    """Make a rule. Raises InvalidInput for a field."""
    if new.source not in SOURCES or new.happening not in HAPPENINGS:
        raise InvalidInput(say("Choose what starts a run."), field="happening")
    if (new.source == "github") == (new.happening == "message"):
        raise InvalidInput(say("Choose what starts a run."), field="happening")
    label, place = " ".join(new.label.split()), new.place.strip()
    if new.happening == "label" and not 0 < len(label) <= 50:
        raise InvalidInput(say("Name the label."), field="label")
    if len(place) > 200 or not place.isprintable():
        raise InvalidInput(say("That is not the name of a place."), field="place")
    if len(await list_rules(db, organization_id)) >= RULES_MAX:
        raise InvalidInput(say("There are too many automations already."), field="happening")
    rule_id = new_id()
    fields = {each: (new.fields or {}).get(each, "").strip() for each in ASKED}
    await db.execute(
        """
        INSERT INTO agent_triggers
               (id, organization_id, person_id, source, happening, place, label, fields, environment_id, is_on)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            rule_id,
            organization_id,
            person_id,
            new.source,
            new.happening,
            place,
            label if new.happening == "label" else "",
            Jsonb(fields),
            new.environment_id,
            new.is_on,
        ),
    )
    return rule_id


async def switch_rule(db: Connection, rule: Rule, *, is_on: bool) -> None:
    """Switch a rule on or off."""
    await db.execute("UPDATE agent_triggers SET is_on = %s, told = '' WHERE id = %s", (is_on, rule.id))


async def remove_rule(db: Connection, rule: Rule) -> None:
    """Take a rule away. Runs that it started stay."""
    await db.execute(
        "UPDATE agent_triggers SET deleted_at = clock_timestamp(), is_on = false WHERE id = %s AND deleted_at IS NULL",
        (rule.id,),
    )


async def note_start(db: Connection, rule: Rule, run_id: UUID | None, told: str = "") -> None:
    """What became of its last time."""
    await db.execute(
        "UPDATE agent_triggers SET last_run_id = coalesce(%s, last_run_id), told = %s WHERE id = %s",
        (run_id, told[:500], rule.id),
    )


async def _select(db: Connection, where: str, values: tuple[object, ...]) -> list[Rule]:
    rows = await db.execute(
        f"""
        SELECT id, organization_id, person_id, source, happening, place, label, fields, environment_id, is_on,
               last_run_id, told
          FROM agent_triggers WHERE {where} AND deleted_at IS NULL ORDER BY source, id
        """.encode(),
        values,
    )
    return [Rule(*row) for row in await rows.fetchall()]
