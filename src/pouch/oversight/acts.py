"""The log of what operators did, and how much each may still move alone."""

from datetime import timedelta

from pouch.base.database import Connection
from pouch.base.ids import derived_id
from pouch.base.money import Money
from pouch.oversight.types import Act, Done, Operator

WINDOW = timedelta(hours=24)
PER_PAGE = 100


async def note(db: Connection, operator: Operator, act: Act) -> bool:
    """Write an act down, in the commit that does it. False when the same form was written down before."""
    written = await db.execute(
        """
        INSERT INTO oversight_acts (id, person_id, email, kind, amount_nanos, request_id, text, path)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (id) DO NOTHING
        """,
        (
            derived_id(f"act:{act.key}"),
            operator.person_id,
            operator.email,
            act.kind,
            act.amount.nanos,
            act.request_id,
            act.text,
            act.path,
        ),
    )
    return written.rowcount == 1


async def may_alone(db: Connection, operator: Operator, amount: Money, limit: Money | None, *, key: str) -> bool:
    """Whether an operator may move so much without another one, after what they moved alone in the last 24 hours.

    Holds the operator's lock until the transaction ends, so that two forms at once are added up. The act with this key
    does not count: it is this one, come again.
    """
    if limit is None:
        return True
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"oversight:{operator.person_id}",))
    rows = await db.execute(
        """
        SELECT coalesce(sum(amount_nanos), 0)::bigint FROM oversight_acts
         WHERE person_id = %s AND amount_nanos > 0 AND request_id IS NULL AND at > now() - %s AND id <> %s
        """,
        (operator.person_id, WINDOW, derived_id(f"act:{key}")),
    )
    row = await rows.fetchone()
    assert row is not None
    return Money(row[0]) + amount <= limit


async def newest(db: Connection, *, before: int | None = None, limit: int = PER_PAGE) -> list[Done]:
    """What was done, newest first, from before an act's `seq`."""
    rows = await db.execute(
        """
        SELECT seq, at, email, kind, text, amount_nanos, request_id, path FROM oversight_acts
         WHERE %(before)s::bigint IS NULL OR seq < %(before)s
         ORDER BY seq DESC LIMIT %(limit)s
        """,
        {"before": before, "limit": limit},
    )
    return [
        Done(seq, at, email, kind, text, Money(nanos), request_id, path)
        for seq, at, email, kind, text, nanos, request_id, path in await rows.fetchall()
    ]
