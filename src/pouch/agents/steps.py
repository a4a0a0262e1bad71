"""An attempt's steps in the database, each one transaction under the run's lock and the worker's claim."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from psycopg.types.json import Jsonb

from pouch.agents import meter
from pouch.agents.artifacts import ArtifactKind, keep
from pouch.agents.beats import own
from pouch.agents.events import New, append
from pouch.agents.giving_back import give_back
from pouch.agents.letters import tell_end, tell_question
from pouch.agents.moves import JOB, move
from pouch.agents.types import Run, RunState, subjects_of
from pouch.base.database import Connection
from pouch.jobs.claims import Claim
from pouch.jobs.doorbell import ring
from pouch.ledger.accounts import balance
from pouch.ledger.admission import SOURCES
from pouch.ledger.limits import limits_of
from pouch.ledger.operations import Refused

SAID_CHARACTERS_MAX = 8_000
OVERDUE_S = 10
"""A run that is due is taken within a second, or with the next sweep, wherever a worker has a place free."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that a run leaves."""

    kind: ArtifactKind
    name: str
    content: Path | bytes

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


@dataclass(frozen=True, slots=True)
class Message:
    """What a person said and the agent has not heard yet."""

    id: UUID
    text: str


@dataclass(frozen=True, slots=True)
class LastAttempt:
    """The last time that a worker began with a run, and the disk that its workspace lies on."""

    epoch: int
    disk: str


async def enter(db: Connection, claim: Claim, state: RunState, say: Sequence[New] = ()) -> Run:
    """Go on to a state that costs nothing and needs the worker. Raises Fenced."""
    run, at = await own(db, claim)
    return await move(db, run, state, at=at, keeps_worker=True, say=say)


async def begin_to_run(db: Connection, claim: Claim) -> Run | Refused:
    """Set the next stretch of time aside and begin to count, or say which budget does not allow it. Raises Fenced."""
    run, at = await own(db, claim)
    if run.state == "running":
        return run
    if run.price_per_hour and run.held_to_s <= run.ran_s:
        answer = await meter.set_aside(db, run, at)
        if isinstance(answer, Refused):
            return answer
        run = answer
    run = await move(db, run, "running", at=at, keeps_worker=True)
    await db.execute("UPDATE agent_runs SET attempts = 0 WHERE id = %s", (run.id,))
    return run


async def freeze(db: Connection, claim: Claim, reason: str) -> Run:
    """The agent stands still: what ran is charged, nothing is held, the worker keeps it for a while. Raises Fenced."""
    run, at = await own(db, claim)
    return await move(db, run, "paused", at=at, reason=reason, keeps_worker=True)


async def wait_for_answer(db: Connection, claim: Claim) -> bool:
    """The agent asked and stands still: what ran is charged, nothing is held. False when an answer is there already."""
    run, at = await own(db, claim)
    if await _unheard(db, run.id):
        return False
    run = await move(db, run, "waiting_user", at=at, reason="asks", keeps_worker=True)
    await tell_question(db, run)
    return True


async def is_place_needed(db: Connection, _claim: Claim) -> bool:
    """Whether a run is due and no worker came for it: all of their places are taken.

    What was lost and waits to be saved may wait for its own machine, so it says nothing of places.
    """
    rows = await db.execute(
        """
        SELECT EXISTS (SELECT 1 FROM agent_runs
                        WHERE due_at < clock_timestamp() - make_interval(secs => %(overdue)s) AND state <> 'stopping'
                          AND (lease_until IS NULL
                               OR lease_until < clock_timestamp() - make_interval(secs => %(overdue)s)))
        """,
        {"overdue": OVERDUE_S},
    )
    row = await rows.fetchone()
    return bool(row and row[0])


async def begin_to_stop(db: Connection, claim: Claim, reason: str, say: Sequence[New] = ()) -> Run:
    """The meter ends here and the key is dead; what follows, saving, costs nothing. Raises Fenced."""
    run, at = await own(db, claim)
    if run.state == "stopping":
        await append(db, run.id, say)
        return run
    return await move(db, run, "stopping", at=at, reason=reason, keeps_worker=True, say=say)


async def last_attempt(db: Connection, claim: Claim) -> LastAttempt:
    """A run's last attempt. Whoever takes a lost run has a later claim, and attempts nothing. Raises Fenced."""
    run, _ = await own(db, claim)
    rows = await db.execute(
        "SELECT epoch, disk FROM agent_run_attempts WHERE run_id = %s ORDER BY epoch DESC LIMIT 1", (run.id,)
    )
    row = await rows.fetchone()
    return LastAttempt(*row) if row is not None else LastAttempt(0, "")


async def leave_work(db: Connection, claim: Claim) -> None:
    """Write down that the last attempt's work lies on its disk, and is nowhere else. Raises Fenced."""
    last = await last_attempt(db, claim)
    await db.execute(
        "UPDATE agent_run_attempts SET is_left = true WHERE run_id = %s AND epoch = %s AND disk <> ''",
        (claim.row_id, last.epoch),
    )


async def keep_files(db: Connection, claim: Claim, files: Sequence[Kept], result: Mapping[str, object]) -> None:
    """Keep what the run leaves, and what it came to, before its workspace goes. Raises Fenced and TooLarge."""
    run, at = await own(db, claim)
    for each in files:
        await keep(db, run.id, claim.epoch, each.kind, each.name, each.content)
    await write_result(db, run.id, result, at)


async def write_result(db: Connection, run_id: UUID, result: Mapping[str, object], at: datetime) -> None:
    """Write down what the kept files come to, over what was written before. The run is locked."""
    kept = {**result, "kept_at": at.isoformat()}
    await db.execute("UPDATE agent_runs SET result = result || %s WHERE id = %s", (Jsonb(kept), run_id))


async def end(db: Connection, claim: Claim, state: RunState, reason: str, *, is_our_fault: bool = False) -> Run:
    """The run is over, or waits without a worker; its person is told. Raises Fenced.

    `is_our_fault`: what this attempt's time cost comes back.
    """
    run, at = await own(db, claim)
    if is_our_fault:
        if run.state == "running":
            run = await move(db, run, "stopping", at=at, reason=reason, keeps_worker=True)
        run = await give_back(db, run, claim.epoch)
    run = await move(db, run, state, at=at, reason=reason)
    if state == "queued":
        await ring(db, JOB, run.id, lane="agents")
    elif state not in {"paused", "waiting_user"}:
        await tell_end(db, run)
    return run


async def tightest_budget(db: Connection, run: Run) -> str:
    """Which budget the gateway meant when it refused a call of the run: the one with the least left."""
    funds = await balance(db, run.organization_id)
    if funds.debt:
        return "debt"
    left = {"credits": funds.available}
    for subject, limits in (await limits_of(db, subjects_of(run))).items():
        for limit in limits:
            source = SOURCES["run" if subject == run.id else limit.kind]
            left[source] = min(limit.cap - limit.spent - limit.held, left.get(source, limit.cap))
    return min(left, key=lambda source: left[source])


async def said_before(db: Connection, claim: Claim) -> str:
    """What the run was asked for first, and the last that it said itself."""
    rows = await db.execute(
        """
        SELECT r.task,
               (SELECT body->>'text' FROM agent_run_events AS e
                 WHERE e.run_id = r.id AND type = 'message' AND body->>'from' IS NULL ORDER BY seq DESC LIMIT 1)
          FROM agent_runs AS r WHERE id = %s
        """,
        (claim.row_id,),
    )
    row = await rows.fetchone()
    assert row is not None
    task, said = row
    return f"You were asked:\n{task}" + (f"\n\nYou said last:\n{said[:SAID_CHARACTERS_MAX]}" if said else "")


async def waiting_messages(db: Connection, claim: Claim) -> list[Message]:
    """What was said and not delivered, oldest first."""
    return await _unheard(db, claim.row_id)


async def take_messages(db: Connection, claim: Claim) -> list[Message]:
    """The same, which the agent hears with its next turn. Raises Fenced."""
    run, _ = await own(db, claim)
    waiting = await _unheard(db, run.id)
    await mark_delivered(db, claim, waiting)
    return waiting


async def _unheard(db: Connection, run_id: UUID) -> list[Message]:
    rows = await db.execute(
        "SELECT id, text FROM agent_run_messages WHERE run_id = %s AND delivered_at IS NULL ORDER BY created_at, id",
        (run_id,),
    )
    return [Message(*row) for row in await rows.fetchall()]


async def mark_delivered(db: Connection, claim: Claim, messages: Sequence[Message]) -> None:
    """The agent has heard them."""
    await db.execute(
        """
        UPDATE agent_run_messages SET delivered_at = clock_timestamp()
         WHERE run_id = %s AND id = ANY(%s) AND delivered_at IS NULL
        """,
        (claim.row_id, [each.id for each in messages]),
    )
