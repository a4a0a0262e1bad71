"""The inbox: what was delivered is stored once, answered, and acted on afterwards, once.

In words.

- A delivery is stored under its number, so a repeated one changes nothing; it must have passed the first look.
- What it means is looked up at the far end: who asks is checked there again, and what is asked is read there.
- A wish starts one run, however many deliveries tell of it: its key is the key of the start.
- No rule, no run. Who asked pays with what their organization allows: the rule's cap, the agents' cap of a day, the
  credits, and so many starts an hour.
"""

from collections.abc import Mapping
from typing import assert_never
from uuid import UUID

import structlog
from psycopg.types.json import Jsonb

from pouch.agents.asking import Asking
from pouch.agents.errors import NoAgentsHere
from pouch.agents.start import Starter
from pouch.agents.triggers import origins
from pouch.agents.triggers.rules import Rule, note_start, rule_for
from pouch.agents.triggers.types import Event, FarEnd, Found, House, Ignored, RefusedThere, Silent, Source
from pouch.base.database import Connection, Database
from pouch.base.errors import PouchError
from pouch.base.ids import derived_id
from pouch.identity.organizations import role_of
from pouch.jobs import claims
from pouch.jobs.claims import Claim, Retries
from pouch.jobs.doorbell import ring
from pouch.jobs.registry import Jobs

TABLE = "agent_trigger_events"
JOB = "agents.trigger"
LEASE_S = 60
RETRIES = Retries(delays_s=(5, 15, 60, 300, 900), attempts_max=40, waiting="waiting", stuck="failed")
"""For half a day."""
BUSY_AGAIN_S = 20
STARTS_AN_HOUR_MAX = 60
"""Of one organization, from outside: two programs that answer each other come to an end."""
KEEP_DAYS = 30

log = structlog.get_logger(__name__)


async def receive(db: Connection, source: Source, delivery: str, house: str, facts: Mapping[str, str]) -> bool:
    """Store something that happened and ring for it. False when it was delivered before."""
    event_id = derived_id(f"{source}:{delivery}")
    # Postgres keeps no NUL, and the far end decides what it sends.
    facts = {name: value.replace("\x00", "") for name, value in facts.items()}
    stored = await db.execute(
        """
        INSERT INTO agent_trigger_events (id, source, delivery, house, facts) VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT DO NOTHING  -- on either key: at the same moment the derived one may be seen first
        """,
        (event_id, source, delivery, house.replace("\x00", ""), Jsonb(facts)),
    )
    if stored.rowcount == 0:
        return False
    await ring(db, JOB, event_id)
    return True


async def was_received(db: Connection, source: Source, delivery: str) -> bool:
    """Whether a delivery is stored."""
    rows = await db.execute(
        "SELECT 1 FROM agent_trigger_events WHERE source = %s AND delivery = %s", (source, delivery)
    )
    return await rows.fetchone() is not None


async def forget_old_events(db: Connection) -> None:
    """Forget what was delivered a month ago; nobody delivers it again."""
    await db.execute(
        """
        DELETE FROM agent_trigger_events
         WHERE due_at IS NULL AND received_at < clock_timestamp() - make_interval(days => %s)
        """,
        (KEEP_DAYS,),
    )


class Inbox:
    """Acts on what was delivered. Any number of processes may try the same event; one of them does."""

    def __init__(
        self,
        database: Database,
        asking: Asking,
        far_ends: Mapping[Source, FarEnd],
        *,
        starts_an_hour_max: int = STARTS_AN_HOUR_MAX,
    ) -> None:
        self._starts_an_hour_max = starts_an_hour_max
        self._database = database
        self._asking = asking
        self._far_ends = far_ends

    def register(self, jobs: Jobs) -> None:
        """Act in this process."""
        jobs.register(JOB, self.process, _due)

    async def process(self, event_id: UUID) -> None:
        """Look at what an event is about, and start what it asks for."""
        async with self._database.transaction() as db:
            claim = await claims.claim(db, TABLE, event_id, LEASE_S)
            if claim is None:
                return
            event = await _read(db, event_id)
            far_end = self._far_ends.get(event.source)
            house = await far_end.house(db, event.house) if far_end is not None else None
            rule = await rule_for(db, house.organization_id, event) if house is not None else None
            if far_end is None or house is None:
                await _ignore(db, claim, "It is connected to nobody here.")
                return
            if rule is None:
                await _ignore(db, claim, "No automation is for this.")
                return
        try:
            found = await far_end.look(house, event)
        except Silent as error:
            async with self._database.transaction() as db:
                await claims.fail(db, claim, str(error), RETRIES)
            return
        except RefusedThere as error:
            found = Ignored(str(error))
        if isinstance(found, Ignored):
            async with self._database.transaction() as db:
                await _ignore(db, claim, found.why)
            return
        try:
            async with self._database.transaction() as db:
                await self._start(db, claim, event, house, rule, found)
        except NoAgentsHere as error:
            # Nothing is wrong with the wish: it waits until somebody can run it.
            async with self._database.transaction() as db:
                await note_start(db, rule, None, error.message)
                await claims.fail(db, claim, error.message, RETRIES)
        except PouchError as error:
            async with self._database.transaction() as db:
                await note_start(db, rule, None, error.message)
                await _ignore(db, claim, error.message)
            log.warning("agent_trigger_started_nothing", source=event.source, code=error.code)

    async def _start(  # noqa: PLR0913, PLR0917 -- who asked for what where, and by which rule
        self, db: Connection, claim: Claim, event: Event, house: House, rule: Rule, found: Found
    ) -> None:
        key = f"{event.source}:{found.key}"
        if (known := await _run_of_key(db, house.organization_id, key)) is not None:
            await _finish(db, claim, known, "It had started a run already.")
            return
        if found.head and await origins.is_busy(db, house.organization_id, found.full_name, found.head):
            # Two agents on one branch would push against each other.
            await _put_off(db, claim)
            return
        if await role_of(db, house.organization_id, found.person_id) is None:
            await _ignore(db, claim, "Whoever it counts for does not belong to this organization any more.")
            return
        if await _starts_in_an_hour(db, house.organization_id) >= self._starts_an_hour_max:
            await note_start(
                db, rule, None, f"More than {self._starts_an_hour_max} runs were asked for within an hour."
            )
            await _ignore(db, claim, "Too many were asked for within an hour.")
            return
        fields = dict(rule.fields) | {"task": found.task}
        if found.repository:
            fields |= {"repository": found.repository, "branch": found.branch or rule.fields.get("branch", "")}
        starter = Starter(house.organization_id, found.person_id, _trigger(event.source), key)
        run, _ = await self._asking.start(db, starter, fields, environment_id=rule.environment_id)
        await note_start(db, rule, run.id)
        await _finish(db, claim, run.id, "")
        await origins.add(db, run, event, found)


def _trigger(source: Source) -> Source:
    match source:
        case "github" | "slack" | "linear":
            return source
        case _:
            assert_never(source)


async def _run_of_key(db: Connection, organization_id: UUID, key: str) -> UUID | None:
    rows = await db.execute(
        "SELECT id FROM agent_runs WHERE organization_id = %s AND start_key = %s", (organization_id, key)
    )
    row = await rows.fetchone()
    return row[0] if row else None


async def _starts_in_an_hour(db: Connection, organization_id: UUID) -> int:
    rows = await db.execute(
        """
        SELECT count(*) FROM agent_runs
         WHERE organization_id = %s AND trigger IN ('github', 'slack', 'linear')
           AND created_at > clock_timestamp() - interval '1 hour'
        """,
        (organization_id,),
    )
    row = await rows.fetchone()
    return row[0] if row else 0


async def _finish(db: Connection, claim: Claim, run_id: UUID, note: str) -> None:
    await claims.finish(db, claim, "started")
    await db.execute(
        "UPDATE agent_trigger_events SET run_id = %s, note = %s WHERE id = %s", (run_id, note, claim.row_id)
    )


async def _ignore(db: Connection, claim: Claim, why: str) -> None:
    if await claims.finish(db, claim, "ignored"):
        await db.execute("UPDATE agent_trigger_events SET note = %s WHERE id = %s", (why[:500], claim.row_id))


async def _put_off(db: Connection, claim: Claim) -> None:
    await db.execute(
        """
        UPDATE agent_trigger_events SET due_at = now() + make_interval(secs => %s), lease_until = NULL, attempts = 0
         WHERE id = %s AND epoch = %s
        """,
        (BUSY_AGAIN_S, claim.row_id, claim.epoch),
    )


async def _read(db: Connection, event_id: UUID) -> Event:
    rows = await db.execute(
        "SELECT id, source, delivery, house, facts FROM agent_trigger_events WHERE id = %s", (event_id,)
    )
    row = await rows.fetchone()
    assert row is not None
    return Event(*row)


async def _due(db: Connection) -> list[UUID]:
    return await claims.due(db, TABLE)
