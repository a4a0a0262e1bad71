"""Starting a run: checked, numbered, queued; the same intention sent twice is one run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from uuid import UUID

import orjson

from pouch.agents.engines.types import AgentKind
from pouch.agents.errors import NotEnoughCredits, StartedDifferently
from pouch.agents.events import append
from pouch.agents.meter import SLICE_S
from pouch.agents.moves import JOB
from pouch.agents.store import find_run
from pouch.agents.types import Run, Trigger, agents_subject
from pouch.base.database import Connection
from pouch.base.errors import InvalidInput, Unavailable
from pouch.base.ids import new_id
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.catalog.agent_price import agent_price, time_cost_nanos
from pouch.catalog.types import Model
from pouch.jobs.doorbell import ring
from pouch.ledger.accounts import balance
from pouch.ledger.limits import set_limit

FIRST_CALLS = Money.from_cents(10)
"""What should be there for the first call of a paid model, beside the first minute."""
TASK_CHARACTERS_MAX = 20_000
TITLE_CHARACTERS_MAX = 120
KEY_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is to do, and within which bounds."""

    kind: AgentKind
    task: str
    repository: str
    branch: str
    cap: Money
    time_limit_s: int
    prompt: str = ""
    engine: str = "native"
    environment_id: UUID | None = None

    def __post_init__(self) -> None:
        if not self.task.strip():
            raise InvalidInput(say("Say what should be done."), field="task")
        if len(self.task) > TASK_CHARACTERS_MAX:
            raise InvalidInput(f"A task has at most {TASK_CHARACTERS_MAX:,} characters.", field="task")
        if self.cap.nanos <= 0:
            raise InvalidInput(say("Say how much the run may cost at most."), field="cap")

    @property
    def title(self) -> str:
        """The first line of the task, short enough for a list."""
        first = next(line.strip() for line in self.task.splitlines() if line.strip())
        return first if len(first) <= TITLE_CHARACTERS_MAX else f"{first[: TITLE_CHARACTERS_MAX - 1].rstrip()}…"


@dataclass(frozen=True, slots=True)
class Starter:
    """Who starts a run, on whose credits, and how. `key` names the intention: sent twice, it is one run."""

    organization_id: UUID
    person_id: UUID
    trigger: Trigger
    key: str
    retry_of: UUID | None = None
    key_id: UUID | None = None
    """The API key that asks for it: what the run costs counts in the key's limit."""


async def start_run(db: Connection, who: Starter, asked: Asked, model: Model) -> tuple[Run, bool]:
    """Queue a run; returns it and whether it is new.

    Raises NotEnoughCredits when not even its first minute and call could be paid, StartedDifferently when the key was
    used for another run, InvalidInput for a key that cannot be one.
    """
    if not 0 < len(who.key) <= KEY_CHARACTERS_MAX or not who.key.isprintable():
        raise InvalidInput(f"An idempotency key has 1 to {KEY_CHARACTERS_MAX} characters.", field="idempotency_key")
    digest = _digest(asked, model)
    await _lock(db, who.organization_id)
    known = await db.execute(
        "SELECT id, asked_hash FROM agent_runs WHERE organization_id = %s AND start_key = %s",
        (who.organization_id, who.key),
    )
    if (row := await known.fetchone()) is not None:
        if row[1] != digest:
            raise StartedDifferently("This key started another run before.")
        return await find_run(db, who.organization_id, row[0]), False
    price = await agent_price(db)
    if price is None:
        raise Unavailable(say("Agents have no price yet. Run `pouch migrate`."))
    await _check_credits(db, who.organization_id, price.per_hour, model)
    run_id = new_id()
    await db.execute(
        """
        WITH numbered AS (
            UPDATE agent_organizations SET last_number = last_number + 1 WHERE organization_id = %(organization)s
            RETURNING last_number)
        INSERT INTO agent_runs (id, organization_id, person_id, number, start_key, asked_hash, trigger, retry_of, kind,
                                title, task, prompt, model_id, engine, repository, branch, environment_id,
                                price_id, price_nanos_per_hour, cap_nanos, time_limit_s, key_id)
        SELECT %(id)s, %(organization)s, %(person)s, last_number, %(key)s, %(hash)s, %(trigger)s, %(retry_of)s,
               %(kind)s, %(title)s, %(task)s, %(prompt)s, %(model)s, %(engine)s, %(repository)s, %(branch)s,
               %(environment)s, %(price_id)s, %(price)s, %(cap)s, %(time_limit)s, %(key_id)s
          FROM numbered
        """,
        {
            "id": run_id,
            "organization": who.organization_id,
            "person": who.person_id,
            "key": who.key,
            "hash": digest,
            "trigger": who.trigger,
            "retry_of": who.retry_of,
            "kind": asked.kind,
            "title": asked.title,
            "task": asked.task,
            "prompt": asked.prompt,
            "model": model.id,
            "engine": asked.engine,
            "repository": asked.repository,
            "branch": asked.branch,
            "environment": asked.environment_id,
            "price_id": price.id,
            "price": price.per_hour.nanos,
            "cap": asked.cap.nanos,
            "time_limit": asked.time_limit_s,
            "key_id": who.key_id,
        },
    )
    await set_limit(db, run_id, kind="run", cap=asked.cap)
    await db.execute(
        "INSERT INTO agent_run_spans (run_id, number, state, began_at) VALUES (%s, 1, 'queued', clock_timestamp())",
        (run_id,),
    )
    await append(db, run_id, [("message", {"from": "person", "text": asked.task}), ("state", {"state": "queued"})])
    await ring(db, JOB, run_id, lane="agents")
    return await find_run(db, who.organization_id, run_id), True


async def set_day_cap(db: Connection, organization_id: UUID, cap: Money) -> None:
    """Cap what all agents of an organization may spend in a day (UTC), time and models together."""
    await set_limit(db, agents_subject(organization_id), kind="organization", period="day", cap=cap)


def first_minute(per_hour: Money) -> Money:
    """What the first slice of running time needs."""
    return Money(time_cost_nanos(SLICE_S, per_hour.nanos))


async def _check_credits(db: Connection, organization_id: UUID, per_hour: Money, model: Model) -> None:
    needed = first_minute(per_hour)
    if not model.is_free:
        needed += FIRST_CALLS
    available = (await balance(db, organization_id)).available
    if needed and available < needed:
        raise NotEnoughCredits(needed=needed, available=available)


async def _lock(db: Connection, organization_id: UUID) -> None:
    await db.execute(
        "INSERT INTO agent_organizations (organization_id) VALUES (%s) ON CONFLICT DO NOTHING", (organization_id,)
    )
    await db.execute(
        "SELECT 1 FROM agent_organizations WHERE organization_id = %s FOR NO KEY UPDATE", (organization_id,)
    )


def _digest(asked: Asked, model: Model) -> bytes:
    facts: Mapping[str, object] = asdict(asked) | {
        "cap": asked.cap.nanos,
        "environment_id": str(asked.environment_id),
        "model": model.id,
    }
    parts: Sequence[str] = [f"{name}={facts[name]}" for name in sorted(facts)]
    return sha256(orjson.dumps(parts)).digest()
