"""Switching the rule on, changing it, switching it off, and what is shown of it.

In words. It is off until a person switches it on. What saving would charge now is worked out by the same function
that the charge itself uses and is shown before; a save that would charge another amount than was shown charges
nothing and is shown again. Who owns the money is mailed about every change. Switching off takes effect with the
commit: what was not sent to the processor is not sent any more, what was is settled.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pouch.base.database import Connection, Database
from pouch.base.languages import later, say
from pouch.base.money import Money
from pouch.ledger import thresholds
from pouch.mail.outbox import address
from pouch.payments.cards import Cards
from pouch.payments.charges import Quote
from pouch.payments.types import Card
from pouch.topups import attempts, letters, rules
from pouch.topups.amounts import Blocked, Charge, Limits, Standing, Why, check, size
from pouch.topups.errors import CardRefused, ChargeChanged, NoCard, Suspended
from pouch.topups.judging import Judge, standing_of, why_suspended
from pouch.topups.types import Attempt, Rule, Wish
from pouch.web.filters import when

ATTEMPTS_SHOWN = 5
UNSEEN = Money(-1)
"""What a program says that was shown no preview: any charge is fine, within the rule."""


@dataclass(frozen=True, slots=True)
class Overview:
    """All that a page shows of the rule."""

    rule: Rule | None
    card: Card | None
    standing: Standing
    attempts: list[Attempt]
    under_way: Attempt | None
    to_confirm: Attempt | None
    suspended: str | None
    limits: Limits
    now: datetime

    @property
    def state(self) -> str:
        """off, armed, paused or suspended."""
        return self.rule.state if self.rule is not None else "off"

    def waits_until(self, wish: Wish) -> datetime | None:
        """Until when nothing is charged once this is saved; None when a charge may follow at once."""
        rule = self.rule
        if rule is None or rule.wait_until is None or rule.wait_until <= self.now:
            return None
        if is_tried_anew(rule) or (rule.wish != wish and not rule.failures):
            return None
        return rule.wait_until

    @property
    def next_try(self) -> datetime | None:
        """When it is tried again, where something is missing and a pause runs."""
        rule = self.rule
        if rule is None or rule.state != "armed" or self.under_way is not None:
            return None
        return self.waits_until(rule.wish) if size(rule.wish, self.standing, self.limits) is not None else None

    def would_buy(self, wish: Wish) -> Quote | None:
        """What saving this would buy and charge now; None for nothing."""
        if self.under_way is not None or self.suspended or self.waits_until(wish):
            return None
        found = size(wish, self.standing, self.limits)
        return found.quote if isinstance(found, Charge) else None

    def charge_now(self, wish: Wish) -> Money | None:
        """What saving this would charge now, fee and tax among it; None for nothing."""
        quote = self.would_buy(wish)
        return quote.total if quote is not None else None

    def why_not(self, wish: Wish) -> str:
        """What keeps it from charging now, though something is missing, in a sentence; empty when nothing is."""
        found = size(wish, self.standing, self.limits)
        if isinstance(found, Blocked):
            return say(_BLOCKED[found.why])
        until = self.waits_until(wish)
        if found is None or until is None:
            return ""
        return say("It is tried again after %(at)s UTC.", at=when(until))


_BLOCKED: dict[Why, str] = {
    "monthly_cap": later("What may be charged in a month is reached."),
    "daily_count": later("As often as it may be charged in a day it was."),
    "too_large": later("The amount is outside what can be bought here now."),
}


def is_tried_anew(rule: Rule) -> bool:
    """Whether switching it on again forgets the declines: it paused after them, and its person was told so."""
    return rule.state == "paused" and rule.pause == "declined"


class Switch:
    """What a person, or a program with the right to, does to the rule."""

    def __init__(self, database: Database, cards: Cards, limits: Limits, judge: Judge) -> None:
        self._database = database
        self._cards = cards
        self._judge = judge
        self.limits = limits

    async def overview(self, db: Connection, organization_id: UUID) -> Overview:
        """The rule as it is, and what it has done."""
        row = await (await db.execute("SELECT now()")).fetchone()
        assert row is not None
        return Overview(
            rule=await rules.find_rule(db, organization_id),
            card=await self._cards.default(db, organization_id),
            standing=await standing_of(db, organization_id, row[0]),
            attempts=await attempts.newest(db, organization_id, ATTEMPTS_SHOWN),
            under_way=await attempts.under_way(db, organization_id),
            to_confirm=await attempts.needing_action(db, organization_id),
            suspended=await why_suspended(db, organization_id),
            limits=self.limits,
            now=row[0],
        )

    async def save(
        self, organization_id: UUID, wish: Wish, *, person_id: UUID, email: str, shown: Money | None = UNSEEN
    ) -> Rule:
        """Switch it on, or change it. `shown` is the charge that the person was told of; None, that there is none.

        Raises InvalidInput with a field, NoCard, CardRefused, Suspended and ChargeChanged.
        """
        check(wish, self.limits)
        async with self._database.transaction() as db:
            before = await rules.lock_rule(db, organization_id)
            card = await self._cards.default(db, organization_id)
            if card is None:
                raise NoCard
            if before is not None and before.pause == "card_refused" and before.blocked_fingerprint == card.fingerprint:
                raise CardRefused(card.name)
            if (reason := await why_suspended(db, organization_id)) is not None:
                raise Suspended(reason)
            overview = await self.overview(db, organization_id)
            charge = overview.charge_now(wish)
            if shown not in {UNSEEN, charge}:
                raise ChargeChanged(charge)
            rule = await rules.save_rule(db, organization_id, wish, person_id, address(email))
            if before is not None and is_tried_anew(before):
                await rules.begin_anew(db, rule)
            elif before is not None and before.wish != wish:
                await self._forget_window(db, rule)
            if await thresholds.arm(db, organization_id, wish.threshold):
                # The attempt is there with the rule, so no page offers the same charge a second time.
                await self._judge.answer(db, organization_id)
            what = "Auto top-up was changed." if before is not None and before.is_on else "Auto top-up was switched on."
            await letters.tell_changed(db, rule, what, card.name)
            return rule

    async def switch_off(self, organization_id: UUID) -> None:
        """Charge no card by itself any more. Repeating it changes nothing."""
        async with self._database.transaction() as db:
            rule = await rules.lock_rule(db, organization_id)
            if rule is None or not rule.is_on:
                return
            await rules.set_state(db, rule, "off")
            await thresholds.disarm(db, organization_id)
            now = await rules.find_rule(db, organization_id)
            assert now is not None
            await letters.tell_changed(db, now, "Auto top-up was switched off.", "")

    async def _forget_window(self, db: Connection, rule: Rule) -> None:
        """Another cap or count is another question; a back-off after a decline is not, so that one stays."""
        if not rule.failures:
            await rules.wait_until(db, rule, None)
