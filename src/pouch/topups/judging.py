"""From a crossing to an attempt: the guards, in one transaction and without the network.

In words, in this order. There is an open crossing; the rule is armed; no attempt is under way; nothing is owed,
disputed or suspected; no pause is running; there is a card. Then the amount is worked out (`amounts`): nothing is
missing any more, a limit is reached, or so much is charged. The attempt and its purchase are written in the same
commit that rings for the charge. Everything here may happen twice, late, and in several processes at once: the rule's
row is locked, and one place per organization is all there is for an attempt under way.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pouch.base.database import Connection, Database
from pouch.base.ids import derived_id, new_id
from pouch.base.money import ZERO
from pouch.jobs.doorbell import ring
from pouch.ledger import thresholds
from pouch.ledger.accounts import balance
from pouch.ledger.thresholds import Crossing
from pouch.payments import purchases, suspensions
from pouch.payments.cards import Cards
from pouch.payments.charges import Quote
from pouch.payments.types import Card, Order
from pouch.topups import attempts, letters, rules
from pouch.topups.amounts import Blocked, Charge, Limits, Standing, Why, size
from pouch.topups.attempts import New
from pouch.topups.types import Rule
from pouch.web.filters import dollars

JOB = "topups.crossing"
CHARGE_JOB = "topups.charge"
DUE_MAX = 200


class Judge:
    """Answers crossings."""

    def __init__(self, database: Database, cards: Cards, limits: Limits) -> None:
        self._database = database
        self._cards = cards
        self._limits = limits

    async def look(self, organization_id: UUID) -> None:
        """The job: answer the open crossing of an organization, if there is one and it can be answered now."""
        async with self._database.transaction() as db:
            await self.answer(db, organization_id)

    async def due(self, db: Connection) -> list[UUID]:
        """The organizations whose crossing waits for an answer that can be given now.

        Where a pause is running that is one look, after which calls no longer wait for a charge.
        """
        open_ = await thresholds.crossed(db, limit=DUE_MAX)
        armed = [organization_id for organization_id, state in open_.items() if state == "armed"]
        rows = await db.execute(
            """
            SELECT o.id FROM unnest(%s::uuid[]) WITH ORDINALITY AS o (id, place)
              LEFT JOIN topup_rules AS r USING (id)
             WHERE (r.wait_until IS NULL OR r.wait_until <= now() OR o.id = ANY(%s))
               AND NOT EXISTS (SELECT FROM topup_attempts AS a
                                WHERE a.organization_id = o.id AND a.state IN ('created', 'submitted', 'unknown'))
             ORDER BY o.place
            """,
            (list(open_), armed),
        )
        return [organization_id for (organization_id,) in await rows.fetchall()]

    async def answer(self, db: Connection, organization_id: UUID) -> None:
        """The same in the caller's transaction."""
        rule = await rules.lock_rule(db, organization_id)
        crossing = await thresholds.find_crossing(db, organization_id)
        if crossing is None:
            return
        if rule is None or rule.state != "armed":
            await thresholds.close_crossing(db, organization_id)
            return
        if await attempts.under_way(db, organization_id) is not None:
            return
        if (reason := await why_suspended(db, organization_id)) is not None:
            await suspend(db, rule, reason)
            return
        now = await _now(db)
        if rule.wait_until is not None and rule.wait_until > now:
            await thresholds.set_state(db, organization_id, "resting")
            return
        card = await self._cards.default(db, organization_id)
        if card is None:
            await pause_without_card(db, rule, await self._cards.all(db, organization_id))
            return
        await self._charge_or_wait(db, rule, crossing, card, now)

    async def _charge_or_wait(self, db: Connection, rule: Rule, crossing: Crossing, card: Card, now: datetime) -> None:
        standing = await standing_of(db, rule.organization_id, now)
        match size(rule.wish, standing, self._limits):
            case None:
                # Something else has filled the gap meanwhile.
                await thresholds.close_crossing(db, crossing.organization_id)
                await thresholds.set_state(db, rule.organization_id, "armed")
            case Blocked(why=why):
                await _block(db, rule, standing, why, now)
            case Charge(quote=quote):
                await self._begin(db, rule, standing, card, quote)

    async def _begin(self, db: Connection, rule: Rule, standing: Standing, card: Card, quote: Quote) -> None:
        tax = quote.tax or ZERO
        new = New(
            new_id(),
            rule.organization_id,
            quote.amount,
            standing.balance,
            standing.pending,
            card.id,
            card.name,
            card.fingerprint,
            quote.fee,
            tax,
        )
        if not await attempts.add_attempt(db, new):
            return
        order = Order(
            rule.organization_id,
            rule.person_id,
            rule.email,
            quote.amount,
            f"top-up:{new.id}",
            fee=quote.fee,
            tax=tax,
            tax_mode=quote.tax_mode,
            tax_name=quote.tax_name,
            fee_comes_back=quote.fee_comes_back,
        )
        await purchases.add_top_up(db, new.id, order, card)
        await thresholds.set_state(db, rule.organization_id, "armed")
        await ring(db, CHARGE_JOB, new.id)


async def standing_of(db: Connection, organization_id: UUID, now: datetime) -> Standing:
    """How things are with an organization: its posted balance, holds not counted, and what the rule has charged."""
    has = await balance(db, organization_id)
    return Standing(
        balance=has.posted,
        pending=await purchases.pending_total(db, organization_id),
        used_in_month=await attempts.used_since(db, organization_id, month_of(now)),
        tried_today=await attempts.tried_since(db, organization_id, day_of(now)),
    )


async def why_suspended(db: Connection, organization_id: UUID) -> str | None:
    """Why no saved card may be charged by itself, in words; None when nothing stands against it."""
    if (reason := await suspensions.why_suspended(db, organization_id)) is not None:
        return reason
    debt = (await balance(db, organization_id)).debt
    return f"{dollars(debt)} is owed. The next purchase pays it first." if debt else None


async def suspend(db: Connection, rule: Rule, reason: str) -> None:
    """Stop a locked rule until what stands against it is gone and a person has switched it on again."""
    await rules.set_state(db, rule, "suspended", pause="suspended", reason=reason)
    await thresholds.set_state(db, rule.organization_id, "paused")
    await _tell_stopped(db, rule, "Auto top-up was stopped.")


async def pause_without_card(db: Connection, rule: Rule, others: Sequence[Card]) -> None:
    """There is nothing to charge any more. `others`: cards that nobody has chosen for it."""
    reason = "There is no saved card. Add one, and auto top-up goes on with it."
    if others:
        reason = "The default card was removed. Choose another default, and auto top-up goes on with it."
    await rules.set_state(db, rule, "paused", pause="no_card", reason=reason)
    await thresholds.set_state(db, rule.organization_id, "paused")
    await _tell_stopped(db, rule, "Auto top-up is paused.")


async def _tell_stopped(db: Connection, rule: Rule, what: str) -> None:
    now = await rules.find_rule(db, rule.organization_id)
    assert now is not None
    await letters.tell_changed(db, now, what, "")


async def _block(db: Connection, rule: Rule, standing: Standing, why: Why, now: datetime) -> None:
    """A limit is reached: visible, mailed once, and looked at again when its window ends."""
    if why == "daily_count":
        until, window = day_of(now) + timedelta(days=1), f"day:{day_of(now):%Y-%m-%d}"
        reason = f"{rule.wish.daily_max} a day was reached."
    elif why == "monthly_cap":
        until, window = next_month(now), f"month:{month_of(now):%Y-%m}"
        reason = f"The cap of {dollars(rule.wish.cap)} a month was reached; {dollars(standing.used_in_month)} was used."
    else:
        until, window = day_of(now) + timedelta(days=1), f"large:{day_of(now):%Y-%m-%d}"
        reason = "The amount is outside what can be bought here now."
    row = New(
        derived_id(f"top-up-blocked:{rule.organization_id}:{window}"),
        rule.organization_id,
        rule.wish.threshold,
        standing.balance,
        standing.pending,
    )
    await attempts.note_not_tried(db, row, why, reason)
    await rules.wait_until(db, rule, until)
    await thresholds.set_state(db, rule.organization_id, "resting")
    await letters.tell_blocked(db, rule, why=reason, window=window, until=until)


async def _now(db: Connection) -> datetime:
    row = await (await db.execute("SELECT now()")).fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def day_of(now: datetime) -> datetime:
    """When the day began, in UTC."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def month_of(now: datetime) -> datetime:
    """When the month began, in UTC."""
    return day_of(now).replace(day=1)


def next_month(now: datetime) -> datetime:
    """When the next month begins."""
    return (month_of(now) + timedelta(days=32)).replace(day=1)
