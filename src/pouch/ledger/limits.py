"""Spending limits: how much may be spent on behalf of a key, run, member or organization in a period."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.money import ZERO, Money
from pouch.ledger.books import EVER, LimitKind, Period


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit and where it stands in its current period."""

    subject: UUID
    kind: LimitKind
    period: Period
    cap: Money
    spent: Money
    held: Money

    @property
    def left(self) -> Money:
        """What may still be spent, holds not counted; never below zero."""
        return max(ZERO, self.cap - self.spent)


async def set_limit(db: Connection, subject: UUID, *, kind: LimitKind, period: Period = "ever", cap: Money) -> None:
    """Cap what may be spent on behalf of a subject. A cap below what was spent refuses new holds."""
    await db.execute(
        """
        INSERT INTO ledger_limits (subject, kind, period, cap_nanos, period_start) VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT ON CONSTRAINT ledger_limits_one_per_period DO UPDATE SET cap_nanos = excluded.cap_nanos
        """,
        (subject, kind, period, cap.nanos, EVER),
    )


async def remove_limits(db: Connection, subject: UUID) -> None:
    """Lift every limit of a subject. Open holds stay; they only stop counting here."""
    await db.execute("DELETE FROM ledger_limits WHERE subject = %s", (subject,))


async def limits_of(db: Connection, subjects: Sequence[UUID]) -> dict[UUID, list[Limit]]:
    """The limits of each of the subjects that has any. Spending of a period that has ended counts as none."""
    rows = await db.execute(
        """
        SELECT subject, kind, period, cap_nanos,
               CASE WHEN is_current THEN spent_nanos ELSE 0 END, CASE WHEN is_current THEN held_nanos ELSE 0 END
          FROM ledger_limits, LATERAL (
               SELECT period = 'ever' OR period_start >= date_trunc(replace(period, 'ever', 'day'), now(), 'UTC')
               ) AS p (is_current)
         WHERE subject = ANY(%s)
         ORDER BY id
        """,
        (list(subjects),),
    )
    found: dict[UUID, list[Limit]] = {}
    for subject, kind, period, cap, spent, held in await rows.fetchall():
        found.setdefault(subject, []).append(Limit(subject, kind, period, Money(cap), Money(spent), Money(held)))
    return found
