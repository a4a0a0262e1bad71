"""Automations: runs that start by themselves each day or week, each of them once for each time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

import structlog
from psycopg.types.json import Jsonb

from pouch.agents.asking import Asking
from pouch.agents.start import Starter
from pouch.agents.store import clock
from pouch.base.database import Connection, Database
from pouch.base.errors import InvalidInput, NotFound, PouchError
from pouch.base.ids import new_id, show_id
from pouch.base.languages import say
from pouch.identity.people import find_person_with_id
from pouch.identity.types import PersonId
from pouch.jobs import claims
from pouch.jobs.registry import Jobs

TABLE = "agent_schedules"
JOB = "agents.schedule"
LEASE_S = 60
SCHEDULES_MAX = 50
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ASKED = ("agent", "task", "repository", "branch", "model", "engine", "cap_usd", "minutes")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Schedule:
    """One automation. `weekday` None: each day. `told` says why its last time started nothing."""

    id: UUID
    organization_id: UUID
    person_id: UUID
    name: str
    fields: Mapping[str, str]
    environment_id: UUID | None
    weekday: int | None
    minute: int
    is_on: bool
    last_run_id: UUID | None
    told: str
    due_at: datetime | None

    @property
    def shown_id(self) -> str:
        """As it stands in addresses."""
        return show_id("sched", self.id)

    @property
    def when(self) -> str:
        """In words, in UTC."""
        day = "each day" if self.weekday is None else f"each {WEEKDAYS[self.weekday]}"
        return f"{day} at {self.minute // 60:02d}:{self.minute % 60:02d} UTC"

    @property
    def last_run(self) -> str:
        """The run that it started last, or nothing."""
        return show_id("run", self.last_run_id) if self.last_run_id else ""


def next_time(weekday: int | None, minute: int, after: datetime) -> datetime:
    """The first of its times after a moment."""
    at = time(minute // 60, minute % 60, tzinfo=UTC)
    day = after.astimezone(UTC).date()
    for ahead in range(9):
        moment = datetime.combine(day + timedelta(days=ahead), at)
        if moment > after and (weekday is None or moment.weekday() == weekday):
            return moment
    raise AssertionError("a week has every weekday")


async def list_schedules(db: Connection, organization_id: UUID) -> list[Schedule]:
    """All of an organization's, by name."""
    return await _select(db, "organization_id = %s", (organization_id,))


async def find_schedule(db: Connection, organization_id: UUID, schedule_id: UUID) -> Schedule:
    """One of this organization. Raises NotFound."""
    found = await _select(db, "organization_id = %s AND id = %s", (organization_id, schedule_id))
    if not found:
        raise NotFound(say("There is no such automation."))
    return found[0]


async def add_schedule(  # noqa: PLR0913 -- whose, what and when, by name
    db: Connection,
    organization_id: UUID,
    *,
    person_id: UUID,
    name: str,
    fields: Mapping[str, str],
    weekday: int | None,
    minute: int,
    environment_id: UUID | None = None,
) -> UUID:
    """Make an automation that is on. Raises InvalidInput."""
    name = " ".join(name.split())
    if not name or len(name) > 80 or not name.isprintable():
        raise InvalidInput(say("A name has 1 to 80 characters on one line."), field="name")
    if not fields.get("task", "").strip():
        raise InvalidInput(say("Say what should be done."), field="task")
    if len(await list_schedules(db, organization_id)) >= SCHEDULES_MAX:
        raise InvalidInput(f"There are {SCHEDULES_MAX} automations already.", field="name")
    schedule_id, now = new_id(), await clock(db)
    asked = {each: fields.get(each, "").strip() for each in ASKED}
    await db.execute(
        """
        INSERT INTO agent_schedules
               (id, organization_id, person_id, name, fields, environment_id, weekday, minute, due_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            schedule_id,
            organization_id,
            person_id,
            name,
            Jsonb(asked),
            environment_id,
            weekday,
            minute,
            next_time(weekday, minute, now),
        ),
    )
    return schedule_id


async def switch(db: Connection, schedule: Schedule, *, is_on: bool) -> None:
    """Switch an automation on or off."""
    due_at = next_time(schedule.weekday, schedule.minute, await clock(db)) if is_on else None
    await db.execute(
        "UPDATE agent_schedules SET is_on = %s, due_at = %s, lease_until = NULL WHERE id = %s AND deleted_at IS NULL",
        (is_on, due_at, schedule.id),
    )


async def remove_schedule(db: Connection, schedule: Schedule) -> None:
    """Take an automation away. Runs that it started stay."""
    await db.execute(
        """
        UPDATE agent_schedules SET deleted_at = clock_timestamp(), is_on = false, due_at = NULL, lease_until = NULL
         WHERE id = %s AND deleted_at IS NULL
        """,
        (schedule.id,),
    )


class ScheduleJobs:
    """Starts what is due. A time that was missed is made up for once, however many were missed."""

    def __init__(self, database: Database, asking: Asking) -> None:
        self._database = database
        self._asking = asking

    def register(self, jobs: Jobs) -> None:
        """Start runs by the clock in this process."""
        jobs.register(JOB, self.start, _due)

    async def start(self, schedule_id: UUID) -> None:
        """Start the run of an automation that is due, once for that time, and set its next one."""
        async with self._database.transaction() as db:
            claim = await claims.claim(db, TABLE, schedule_id, LEASE_S)
            found = await _select(db, "id = %s", (schedule_id,)) if claim is not None else []
        if claim is None or not found:
            return
        schedule = found[0]
        assert schedule.due_at is not None
        key = f"schedule:{schedule.id}:{schedule.due_at.isoformat()}"
        starter = Starter(schedule.organization_id, schedule.person_id, "schedule", key)
        run_id, told = None, ""
        try:
            async with self._database.transaction() as db:
                person = await find_person_with_id(db, PersonId(schedule.person_id))
                if person is None:
                    raise NotFound(say("Who made this automation is not here any more."))
                run, _ = await self._asking.start(
                    db,
                    starter,
                    schedule.fields,
                    is_operator=person.is_operator,
                    environment_id=schedule.environment_id,
                )
                run_id = run.id
        except PouchError as error:
            # Not tried again: its next time comes, and the page says why this one started nothing.
            told = error.message
            log.warning("agent_schedule_started_nothing", schedule=schedule.shown_id, code=error.code)
        async with self._database.transaction() as db:
            now = await clock(db)
            await db.execute(
                """
                UPDATE agent_schedules
                   SET due_at = CASE WHEN is_on AND deleted_at IS NULL THEN %s::timestamptz END, lease_until = NULL,
                       attempts = 0, told = %s, last_run_id = coalesce(%s, last_run_id)
                 WHERE id = %s AND epoch = %s
                """,
                (
                    next_time(schedule.weekday, schedule.minute, now),
                    told[:500],
                    run_id,
                    schedule.id,
                    claim.epoch,
                ),
            )


async def _due(db: Connection) -> list[UUID]:
    return await claims.due(db, TABLE)


async def _select(db: Connection, where: str, values: tuple[object, ...]) -> list[Schedule]:
    rows = await db.execute(
        f"""
        SELECT id, organization_id, person_id, name, fields, environment_id, weekday, minute, is_on, last_run_id, told,
               due_at
          FROM agent_schedules WHERE {where} AND deleted_at IS NULL ORDER BY name, id
        """.encode(),
        values,
    )
    return [Schedule(*row) for row in await rows.fetchall()]
