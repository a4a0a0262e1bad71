"""The rows of rules. Whoever changes one locks it first; the ledger's rows are locked after it."""

from datetime import datetime
from uuid import UUID

from psycopg.rows import TupleRow

from pouch.base.database import Connection
from pouch.base.money import Money
from pouch.topups.types import Pause, Rule, RuleState, Wish

_COLUMNS = """
id, state, pause, reason, threshold_nanos, amount_nanos, target_nanos, cap_nanos, daily_max, person_id, email, failures,
wait_until, blocked_fingerprint, version, changed_at
"""


async def find_rule(db: Connection, organization_id: UUID) -> Rule | None:
    """The rule of an organization; None when it was never switched on."""
    rows = await db.execute(f"SELECT {_COLUMNS} FROM topup_rules WHERE id = %s".encode(), (organization_id,))
    return _read(await rows.fetchone())


async def lock_rule(db: Connection, organization_id: UUID) -> Rule | None:
    """The rule, locked until the transaction ends."""
    rows = await db.execute(f"SELECT {_COLUMNS} FROM topup_rules WHERE id = %s FOR UPDATE".encode(), (organization_id,))
    return _read(await rows.fetchone())


async def save_rule(db: Connection, organization_id: UUID, wish: Wish, person_id: UUID, email: str) -> Rule:
    """Write what a person wants, and arm it. What the rule remembers of declines stays."""
    await db.execute(
        """
        INSERT INTO topup_rules
               (id, state, threshold_nanos, amount_nanos, target_nanos, cap_nanos, daily_max, person_id, email)
        VALUES (%s, 'armed', %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (id) DO UPDATE
           SET state = 'armed', pause = '', reason = '', threshold_nanos = excluded.threshold_nanos,
               amount_nanos = excluded.amount_nanos, target_nanos = excluded.target_nanos,
               cap_nanos = excluded.cap_nanos, daily_max = excluded.daily_max, person_id = excluded.person_id,
               email = excluded.email,
               version = topup_rules.version + 1, changed_at = now()
        """,
        (
            organization_id,
            wish.threshold.nanos,
            wish.amount.nanos if wish.amount else None,
            wish.target.nanos if wish.target else None,
            wish.cap.nanos,
            wish.daily_max,
            person_id,
            email,
        ),
    )
    rule = await find_rule(db, organization_id)
    assert rule is not None
    return rule


async def set_state(  # noqa: PLR0913 -- the new state and why, by name
    db: Connection, rule: Rule, state: RuleState, *, pause: Pause = "", reason: str = "", blocked: str | None = None
) -> None:
    """Move a locked rule. `blocked` is the fingerprint of the card that was refused."""
    await db.execute(
        """
        UPDATE topup_rules
           SET state = %s, pause = %s, reason = %s, blocked_fingerprint = coalesce(%s, blocked_fingerprint),
               version = version + 1, changed_at = now()
         WHERE id = %s
        """,
        (state, pause, reason, blocked, rule.organization_id),
    )


async def note_success(db: Connection, rule: Rule, gap_s: float) -> None:
    """A charge went through: declines are forgotten, and the next charge is not before the gap is over."""
    await db.execute(
        """
        UPDATE topup_rules
           SET failures = 0, blocked_fingerprint = '', wait_until = now() + make_interval(secs => %s) WHERE id = %s
        """,
        (gap_s, rule.organization_id),
    )


async def note_failure(db: Connection, rule: Rule, pause_s: float, fingerprint: str) -> None:
    """A charge of this card was declined for now: one more in a row, and none before the pause is over."""
    await db.execute(
        """
        UPDATE topup_rules
           SET failures = failures + 1, wait_until = now() + make_interval(secs => %s), blocked_fingerprint = %s
         WHERE id = %s
        """,
        (pause_s, fingerprint, rule.organization_id),
    )


async def begin_anew(db: Connection, rule: Rule) -> None:
    """There is another card: what was remembered of the old one is forgotten."""
    await db.execute(
        "UPDATE topup_rules SET failures = 0, blocked_fingerprint = '', wait_until = NULL WHERE id = %s",
        (rule.organization_id,),
    )


async def wait_until(db: Connection, rule: Rule, until: datetime | None) -> None:
    """No charge before this time."""
    await db.execute("UPDATE topup_rules SET wait_until = %s WHERE id = %s", (until, rule.organization_id))


async def forget_person(db: Connection, person_id: UUID) -> None:
    """Forget where letters about a rule went, when whoever switched it on deletes their account."""
    await db.execute("UPDATE topup_rules SET email = '' WHERE person_id = %s AND state = 'off'", (person_id,))


def _read(row: TupleRow | None) -> Rule | None:
    if row is None:
        return None
    id_, state, pause, reason, threshold, amount, target, cap, daily_max, *rest = row
    wish = Wish(
        Money(threshold),
        Money(amount) if amount is not None else None,
        Money(target) if target is not None else None,
        Money(cap),
        daily_max,
    )
    return Rule(id_, state, pause, reason, wish, *rest)
