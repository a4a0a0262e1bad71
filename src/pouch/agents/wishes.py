"""What a person may ask of a run: stop, pause, go on, say something, allow more, try again.

What no worker has, or one that has been silent for longer than its lease, is done at once; for what a worker has, the
wish is written down and the worker sees it within a second.
Everything may be asked twice.
"""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from pouch.agents.errors import NotEnoughCredits, WrongState
from pouch.agents.events import append
from pouch.agents.letters import tell_end
from pouch.agents.losing import lose
from pouch.agents.moves import JOB, move, reopen
from pouch.agents.start import first_minute
from pouch.agents.store import find_run, list_runs, lock_run
from pouch.agents.types import OVER, RESTING, STATES, Run, RunState
from pouch.base.database import Connection
from pouch.base.errors import InvalidInput, NotFound
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.jobs.doorbell import ring
from pouch.ledger.accounts import balance
from pouch.ledger.limits import set_limit

MESSAGE_CHARACTERS_MAX = 20_000
MESSAGES_WAITING_MAX = 20
UNANSWERED_BATCH = 50
NOT_OVER: tuple[RunState, ...] = tuple(state for state in STATES if state not in OVER)


async def stop(db: Connection, organization_id: UUID, run_id: UUID) -> Run:
    """End a run; its work is saved. What is over stays as it is."""
    run, at = await _locked(db, organization_id, run_id)
    if run.is_over:
        return run
    if not run.is_live:
        return await move(db, run, "canceled", at=at, reason="stopped")
    await _wish(db, run, "stop")
    if run.is_lost_at(at):
        # Nobody is there to hear it, so it is done here: nothing more is billed, and its work is saved later.
        return await lose(db, replace(run, wish="stop"), at)
    return run


async def stop_all(db: Connection, organization_id: UUID) -> int:
    """End every run of the organization that is not over; how many."""
    runs = await list_runs(db, organization_id, states=NOT_OVER, limit=1000)
    # In the order of their ids, like everybody who locks several.
    for run in sorted(runs, key=lambda each: each.id):
        await stop(db, organization_id, run.id)
    return len(runs)


async def pause(db: Connection, organization_id: UUID, run_id: UUID) -> Run:
    """Freeze a run. From then on its time costs nothing. Raises WrongState when it is not under way."""
    run, at = await _locked(db, organization_id, run_id)
    if run.state in RESTING:
        return run
    if run.state == "queued":
        return await move(db, run, "paused", at=at, reason="asked")
    if run.state not in {"starting", "setup", "running"}:
        raise WrongState("This run cannot be paused any more.")
    if run.wish != "stop":
        await _wish(db, run, "pause")
    return run


async def resume(db: Connection, organization_id: UUID, run_id: UUID) -> Run:
    """Let a run go on from where it rests, when there are credits for it again. Raises WrongState when it does not."""
    run, at = await _locked(db, organization_id, run_id)
    if run.state in {"queued", "starting", "setup", "running"}:
        if run.wish == "pause":
            await _wish(db, run, "")
        return run
    if run.state not in RESTING:
        raise WrongState("This run is over. Try it again instead.")
    if run.is_live:
        await _wish(db, run, "resume")
        return run
    await db.execute("UPDATE agent_runs SET attempts = 0 WHERE id = %s", (run.id,))
    run = await move(db, run, "queued", at=at)
    await ring(db, JOB, run.id, lane="agents")
    return run


async def say(db: Connection, organization_id: UUID, person_id: UUID, run_id: UUID, text: str) -> Run:
    """Tell a run something. It is delivered before the next step; a run that waited for an answer goes on.

    A run that is over goes on from what it left, on the same branch and under the same caps. Raises WrongState when it
    has no time left or was deleted, NotEnoughCredits.
    """
    text = text.strip()
    if not text:
        raise InvalidInput("Write something first.", field="message")
    if len(text) > MESSAGE_CHARACTERS_MAX:
        raise InvalidInput(f"A message has at most {MESSAGE_CHARACTERS_MAX:,} characters.", field="message")
    run, at = await _locked(db, organization_id, run_id)
    if run.is_over:
        await _check_goes_on(db, run)
    rows = await db.execute(
        "SELECT count(*) FROM agent_run_messages WHERE run_id = %s AND delivered_at IS NULL", (run.id,)
    )
    row = await rows.fetchone()
    if row and row[0] >= MESSAGES_WAITING_MAX:
        raise WrongState("Too many messages wait to be delivered already.")
    await db.execute(
        "INSERT INTO agent_run_messages (id, run_id, person_id, text) VALUES (%s, %s, %s, %s)",
        (new_id(), run.id, person_id, text),
    )
    await append(db, run.id, [("message", {"from": "person", "text": text})])
    if run.is_over:
        return await reopen(db, run, at=at)
    if run.state == "waiting_user":
        return await resume(db, organization_id, run_id)
    return run


async def change_cap(db: Connection, organization_id: UUID, run_id: UUID, cap: Money) -> Run:
    """Allow a run more, or less. Below what it has spent it stops at the next minute or call."""
    run, _ = await _locked(db, organization_id, run_id)
    if run.is_over:
        raise WrongState("This run is over.")
    if cap.nanos <= 0:
        raise InvalidInput("A run may cost more than nothing.", field="cap")
    await db.execute("UPDATE agent_runs SET cap_nanos = %s, told_percent = 0 WHERE id = %s", (cap.nanos, run.id))
    await set_limit(db, run.id, kind="run", cap=cap)
    await append(db, run.id, [("notice", {"code": "cap_changed", "text": f"The run may now cost up to {cap}."})])
    return await find_run(db, organization_id, run_id)


async def end_unanswered(db: Connection, days: int) -> None:
    """End runs that asked something so many days ago and were not answered; some at once, so call it again."""
    rows = await db.execute(
        """
        SELECT id FROM agent_runs
         WHERE state = 'waiting_user' AND lease_until IS NULL
           AND state_since < clock_timestamp() - make_interval(days => %s)
         ORDER BY id LIMIT %s
        """,
        (days, UNANSWERED_BATCH),
    )
    for (run_id,) in await rows.fetchall():
        found = await lock_run(db, run_id)
        if found is not None and found[0].state == "waiting_user" and not found[0].is_live:
            run = await move(db, found[0], "timed_out", at=found[1], reason="no_answer")
            await tell_end(db, run)


async def _check_goes_on(db: Connection, run: Run) -> None:
    rows = await db.execute("SELECT forgotten_at IS NOT NULL FROM agent_runs WHERE id = %s", (run.id,))
    row = await rows.fetchone()
    if row is None or row[0]:
        raise WrongState("This run was deleted.")
    if run.ran_s >= run.time_limit_s:
        raise WrongState("This run has run as long as it may. Start a new one, or try this one again.")
    needed = first_minute(run.price_per_hour)
    available = (await balance(db, run.organization_id)).available
    if available < needed:
        raise NotEnoughCredits(needed=needed, available=available)


async def _locked(db: Connection, organization_id: UUID, run_id: UUID) -> tuple[Run, datetime]:
    found = await lock_run(db, run_id)
    if found is None or found[0].organization_id != organization_id:
        raise NotFound("There is no such run.")
    return found


async def _wish(db: Connection, run: Run, wish: str) -> None:
    await db.execute("UPDATE agent_runs SET wish = %s WHERE id = %s AND wish <> %s", (wish, run.id, wish))
