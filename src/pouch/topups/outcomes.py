"""What follows from a payment, a decline, or another card: for the attempt, for the rule, and what is mailed.

Called by `payments` in the transaction that settles, whoever found out: the charge's own answer, a webhook, a visit
or a job. So it may come twice, late and out of order; states decide, and money that came is credited whatever they
say.
"""

from datetime import timedelta
from typing import assert_never
from uuid import UUID

import structlog

from pouch.base.database import Connection
from pouch.base.ids import read_id
from pouch.jobs.doorbell import ring
from pouch.ledger import thresholds
from pouch.payments import card_rows
from pouch.payments.types import Card, Decline, Mode, Purchase
from pouch.topups import attempts, letters, rules
from pouch.topups.declines import class_of, code_of, words_of
from pouch.topups.judging import JOB, pause_without_card, suspend, why_suspended
from pouch.topups.types import Attempt, AttemptState, Rule
from pouch.web.filters import when

MIN_GAP_S = 60.0
"""Two charges are never closer than this."""
BACK_OFF_S = (3600.0, 6 * 3600.0, 24 * 3600.0)
FAILURES_MAX = 3
CONFIRM_HOURS = 72
LOST = "A payment was disputed and lost. Nothing is charged by itself until you switch it on again."
BURST_WITHIN = timedelta(hours=1)
BURST_CHARGES = 3
RECOVERY = "recovery:"
"""How the attempt of an on-session purchase begins that makes up for a charge the bank wanted confirmed."""

NOT_PAID: tuple[AttemptState, ...] = ("created", "submitted", "unknown", "needs_action", "declined", "not_tried")

_log = structlog.get_logger("pouch.topups")


class Outcomes:
    """What `payments.hooks.Automatic` asks for."""

    async def paid(self, db: Connection, purchase: Purchase) -> bool:
        """A purchase is about to be credited. True when it is a top-up, or makes up for one."""
        attempt_id = purchase.id if purchase.kind == "top_up" else recovery_of(purchase)
        if attempt_id is None:
            return False
        found = await attempts.find_attempt(db, attempt_id)
        if found is None or found.organization_id != purchase.organization_id:
            return False
        rule = await rules.lock_rule(db, purchase.organization_id)
        attempt = await attempts.lock_attempt(db, attempt_id)
        assert attempt is not None
        assert rule is not None
        if purchase.kind == "top_up":
            await self._credited(db, rule, attempt)
        else:
            await self._recovered(db, rule, attempt)
        return True

    async def declined(self, db: Connection, purchase: Purchase, decline: Decline) -> None:
        """A purchase has ended without money, for good."""
        if purchase.kind != "top_up":
            return
        rule = await rules.lock_rule(db, purchase.organization_id)
        attempt = await attempts.lock_attempt(db, purchase.id)
        if rule is None or attempt is None or not attempt.is_under_way:
            return
        match class_of(decline):
            case "confirm":
                await self._ask_to_confirm(db, rule, attempt)
            case "hard":
                await self._pause_for_card(db, rule, attempt, code_of(decline))
            case "soft":
                await self._back_off(db, rule, attempt, code_of(decline))
            case never:
                assert_never(never)

    async def cards_changed(self, db: Connection, organization_id: UUID, mode: Mode) -> None:
        """A card was saved, removed or made the default, and the cards are locked.

        Without a card the rule pauses. Paused for a card, it goes on with another one, and only with another one: one
        that was made the default, or that was saved since.
        """
        rule = await rules.lock_rule(db, organization_id)
        if rule is None or not rule.is_on or rule.pause == "suspended":
            return
        card = await card_rows.default_card(db, organization_id, mode)
        if card is None:
            if rule.state == "armed":
                await pause_without_card(db, rule, await card_rows.list_cards(db, organization_id, mode))
        elif rule.state == "paused":
            await self._go_on(db, rule, card)
        elif rule.failures and rule.blocked_fingerprint != card.fingerprint:
            # Declines were the other card's; this one is charged as soon as something is missing.
            await rules.begin_anew(db, rule)
            await ring(db, JOB, organization_id)

    async def suspended(self, db: Connection, organization_id: UUID, reason: str) -> None:
        """A payment is disputed or suspected: an armed rule stops until a person switches it on again."""
        rule = await rules.lock_rule(db, organization_id)
        if rule is not None and rule.state == "armed":
            await suspend(db, rule, reason)

    async def card_lost_dispute(self, db: Connection, organization_id: UUID, card: Card | None) -> None:
        """A dispute was lost: its card is refused for good, and with any other a person has to switch it on again."""
        rule = await rules.lock_rule(db, organization_id)
        if rule is None or not rule.is_on:
            return
        default = await card_rows.default_card(db, organization_id, card.mode) if card else None
        if card is None or default is None or default.fingerprint != card.fingerprint:
            if rule.state == "armed":
                await suspend(db, rule, LOST)
            return
        reason = f"A payment of {card.name} was disputed and lost. Add another card, and auto top-up goes on with it."
        await rules.set_state(db, rule, "paused", pause="card_refused", reason=reason, blocked=card.fingerprint)
        await thresholds.set_state(db, organization_id, "paused")
        now = await rules.find_rule(db, organization_id)
        assert now is not None
        await letters.tell_changed(db, now, "Auto top-up was stopped.", "")

    async def _credited(self, db: Connection, rule: Rule, attempt: Attempt) -> None:
        if not await attempts.end(db, attempt.id, "credited", since=NOT_PAID):
            return
        await rules.note_success(db, rule, MIN_GAP_S)
        await thresholds.close_crossing(db, rule.organization_id)
        if rule.state == "armed":
            await thresholds.set_state(db, rule.organization_id, "armed")
        await self._look_for_burst(db, rule)

    async def _recovered(self, db: Connection, rule: Rule, attempt: Attempt) -> None:
        if not await attempts.end(db, attempt.id, "recovered", since=NOT_PAID):
            return
        await rules.note_success(db, rule, MIN_GAP_S)
        await thresholds.close_crossing(db, rule.organization_id)
        if rule.pause == "needs_confirmation" and await why_suspended(db, rule.organization_id) is None:
            await rules.set_state(db, rule, "armed")
            # The credit is posted right after this, so the balance is judged at the next call and not by what it was.
            await thresholds.watch(db, rule.organization_id, rule.wish.threshold)

    async def _ask_to_confirm(self, db: Connection, rule: Rule, attempt: Attempt) -> None:
        reason = f"The bank wants you to confirm this charge of {attempt.card_name}."
        await attempts.ask_to_confirm(db, attempt.id, reason, CONFIRM_HOURS)
        if rule.is_on:
            await rules.set_state(
                db, rule, "paused", pause="needs_confirmation", reason=reason, blocked=attempt.fingerprint
            )
        await thresholds.set_state(db, rule.organization_id, "paused")
        await letters.tell_to_confirm(db, rule, attempt, CONFIRM_HOURS)

    async def _pause_for_card(self, db: Connection, rule: Rule, attempt: Attempt, code: str) -> None:
        why = words_of(code)
        await self._end(db, attempt, code, why)
        if not rule.is_on:
            return
        reason = f"The bank refused {attempt.card_name} for good. Add another card, and auto top-up goes on with it."
        await rules.set_state(db, rule, "paused", pause="card_refused", reason=reason, blocked=attempt.fingerprint)
        await thresholds.set_state(db, rule.organization_id, "paused")
        await letters.tell_declined(db, rule, attempt, why=why, follows=reason)

    async def _back_off(self, db: Connection, rule: Rule, attempt: Attempt, code: str) -> None:
        why, failures = words_of(code), rule.failures + 1
        await self._end(db, attempt, code, why)
        await rules.note_failure(db, rule, BACK_OFF_S[min(failures, len(BACK_OFF_S)) - 1], attempt.fingerprint)
        if not rule.is_on or rule.state != "armed":
            return
        if failures >= FAILURES_MAX:
            reason = f"The bank declined {attempt.card_name} {failures} times in a row, last: {why}."
            await rules.set_state(db, rule, "paused", pause="declined", reason=reason, blocked=attempt.fingerprint)
            await thresholds.set_state(db, rule.organization_id, "paused")
            follows = "Auto top-up is paused. It goes on with another card, or when you switch it on again."
            await letters.tell_declined(db, rule, attempt, why=why, follows=follows)
            return
        await thresholds.set_state(db, rule.organization_id, "resting")
        if failures == 1:
            now = await rules.find_rule(db, rule.organization_id)
            assert now is not None
            assert now.wait_until is not None
            follows = f"It is tried again after {when(now.wait_until)} UTC. Until then you can buy credits yourself."
            await letters.tell_declined(db, rule, attempt, why=why, follows=follows)

    async def _end(self, db: Connection, attempt: Attempt, code: str, why: str) -> None:
        reason = f"The bank answered: {why}."
        if code in {"not_reached", "processor_refused", "card_detached"}:
            reason = f"{why[0].upper()}{why[1:]}."
        await attempts.end(
            db, attempt.id, "declined", since=["created", "submitted", "unknown"], code=code, reason=reason
        )

    async def _go_on(self, db: Connection, rule: Rule, card: Card) -> None:
        if card.fingerprint == rule.blocked_fingerprint:
            others = await card_rows.list_cards(db, rule.organization_id, card.mode)
            # One that was there before is none that its owner has brought for this: it would be charged unasked.
            new = [each for each in others if each.added_at > rule.changed_at]
            other = next((each for each in new if each.fingerprint != rule.blocked_fingerprint), None)
            if other is None:
                return
            await card_rows.set_default(db, other)
            card = other
        await attempts.give_up_confirming(db, rule.organization_id)
        await rules.begin_anew(db, rule)
        await rules.set_state(db, rule, "armed")
        await thresholds.arm(db, rule.organization_id, rule.wish.threshold)
        now = await rules.find_rule(db, rule.organization_id)
        assert now is not None
        await letters.tell_changed(db, now, f"Auto top-up goes on with {card.name}.", card.name)
        await ring(db, JOB, rule.organization_id)

    async def _look_for_burst(self, db: Connection, rule: Rule) -> None:
        row = await (await db.execute("SELECT now()")).fetchone()
        assert row is not None
        since = row[0] - BURST_WITHIN
        charges = await attempts.charged_since(db, rule.organization_id, since)
        if charges >= BURST_CHARGES:
            total = await attempts.used_since(db, rule.organization_id, since)
            _log.warning("topup_burst", organization=str(rule.organization_id), charges=charges)
            window = f"{row[0]:%Y-%m-%dT%H}"
            await letters.tell_burst(db, rule, charges=charges, total=total, window=window)


def recovery_of(purchase: Purchase) -> UUID | None:
    """The attempt that an on-session purchase makes up for, if it does."""
    if not purchase.attempt.startswith(RECOVERY):
        return None
    return read_id("top", purchase.attempt.removeprefix(RECOVERY).partition(":")[0])
