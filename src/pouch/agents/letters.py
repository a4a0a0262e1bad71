"""What is mailed about a run: at 50, 80 and 100 percent of what it may cost, when it waits for credits, at its end."""

from pouch.agents.types import Run
from pouch.agents.words import reason_words, state_words
from pouch.base.database import Connection
from pouch.identity.people import find_person_with_id
from pouch.identity.types import PersonId
from pouch.ledger.limits import Limit, limits_of
from pouch.mail.outbox import Letter, write
from pouch.web.filters import dollars, exact

SHARES = (50, 80, 100)


async def tell_shares(db: Connection, run: Run) -> None:
    """Write when a run has passed a share of what it may cost; the highest alone, and each once. The run is locked."""
    limit = await _limit(db, run)
    if limit is None or not limit.cap:
        return
    passed = max((share for share in SHARES if limit.spent.nanos * 100 >= limit.cap.nanos * share), default=0)
    told = await db.execute(
        "UPDATE agent_runs SET told_percent = %s WHERE id = %s AND told_percent < %s", (passed, run.id, passed)
    )
    if told.rowcount == 0:
        return
    await _write(
        db,
        run,
        f"agent_share:{run.id}:{limit.cap.nanos}:{passed}",
        "agent_share",
        percent=str(passed),
        spent=exact(limit.spent),
        cap=dollars(limit.cap),
    )


async def tell_end(db: Connection, run: Run) -> None:
    """Write what became of a run that has ended or waits for credits. The run is locked and settled."""
    limit = await _limit(db, run)
    spent = exact(limit.spent) if limit is not None else exact(run.time_cost)
    await _write(
        db,
        run,
        f"agent_end:{run.id}:{run.epoch}:{run.state}",
        "agent_end",
        state=state_words(run.state),
        reason=reason_words(run.reason),
        spent=spent,
        waits="yes" if run.state == "paused_no_credit" else "",
    )


async def tell_question(db: Connection, run: Run) -> None:
    """Write that a run waits for an answer. The question itself stays here. The run is locked and settled."""
    limit = await _limit(db, run)
    await _write(
        db,
        run,
        f"agent_question:{run.id}:{run.ran_us}",
        "agent_end",
        state=state_words(run.state),
        reason="",
        spent=exact(limit.spent if limit is not None else run.time_cost),
        waits="",
    )


async def _limit(db: Connection, run: Run) -> Limit | None:
    return next(iter((await limits_of(db, [run.id])).get(run.id, [])), None)


async def _write(db: Connection, run: Run, key: str, kind: str, **context: str) -> None:
    person = await find_person_with_id(db, PersonId(run.person_id))
    if person is None:
        return
    # Neither the task nor its title: a letter leaves this house, and what a run is about is its person's affair.
    await write(
        db, Letter(key, person.email, kind, {"number": str(run.number), "path": f"/agents/{run.shown_id}", **context})
    )
