"""Charging the saved card: created → submitted → whatever the processor says, or unknown until it says something.

In words. The row is committed before the request, and its id is the key: the request may be sent any number of times
and charges once. No answer is `unknown`: for twenty hours the same request with the same key goes again, because that
is how long the key is certain to be remembered; after that it is never sent again, only looked up among the
customer's payments. While an attempt is unknown there is no other. A refusal is no end by itself, for it may answer the
second request while the first charged: the payment is looked for first, and where even that is refused, only an
attempt that was never sent before ends; any other stays unknown, and the operators hear of it after a day. What was
not sent yet is not sent any more once
the rule is off, paused or suspended; what was sent is settled whatever the rule says.
"""

from datetime import datetime, timedelta
from uuid import UUID

import structlog

from pouch.base.database import Connection, Database
from pouch.jobs import claims
from pouch.jobs.claims import Claim, Retries
from pouch.payments import purchases
from pouch.payments.errors import CardDeclined, KeyReused, ProcessorRefused, ProcessorSilent
from pouch.payments.hooks import Automatic
from pouch.payments.processor import Processor
from pouch.payments.settlement import refuse_charge
from pouch.payments.sync import Sync
from pouch.payments.types import Decline, Purchase
from pouch.payments.verdict import Verdict
from pouch.topups import attempts, rules
from pouch.topups.judging import why_suspended
from pouch.topups.types import Attempt

LEASE_S = 60.0
KEY_GOOD_FOR = timedelta(hours=20)
"""Stripe may forget a key after a day; then the same request would charge again."""
UNKNOWN = Retries(delays_s=(3, 10, 30, 60, 300, 900, 1800), attempts_max=1_000_000, waiting="unknown", stuck="unknown")
SETTLING = Retries(delays_s=(30, 120, 600, 1800), attempts_max=1_000_000, waiting="submitted", stuck="submitted")
NO_MONEY = "Nothing was charged."

_log = structlog.get_logger("pouch.topups")


class Charging:
    """The job of an attempt."""

    def __init__(
        self, database: Database, processor: Processor, sync: Sync, automatic: Automatic, *, site_name: str
    ) -> None:
        self._database = database
        self._processor = processor
        self._sync = sync
        self._automatic = automatic
        self._description = f"{site_name} credits, auto top-up"

    async def charge(self, attempt_id: UUID) -> None:
        """Bring an attempt one step on. May run twice, late, or after a crash at any line."""
        async with self._database.transaction() as db:
            claim = await claims.claim(db, attempts.TABLE, attempt_id, LEASE_S)
            if claim is None:
                return
            attempt = await attempts.lock_attempt(db, attempt_id)
            assert attempt is not None
        if attempt.state == "created" and not await self._submit(attempt):
            return
        try:
            await self._ask(attempt_id, is_first=claim.attempts == 1)
        except (ProcessorSilent, ProcessorRefused) as failure:
            await self._come_back(claim, UNKNOWN, failure.reason)
        else:
            # Settled, it has no due time any more, and this does nothing. Else the bank is still at it.
            await self._come_back(claim, SETTLING, "")

    async def due(self, db: Connection) -> list[UUID]:
        """The attempts with something to do."""
        return await claims.due(db, attempts.TABLE)

    async def _submit(self, attempt: Attempt) -> bool:
        """Say that the request is about to go out. False when it must not any more."""
        async with self._database.transaction() as db:
            purchase = await purchases.lock_purchase(db, attempt.id)
            rule = await rules.lock_rule(db, attempt.organization_id)
            if rule is not None and rule.state == "armed" and await why_suspended(db, attempt.organization_id) is None:
                return await attempts.mark_submitted(db, attempt.id)
            reason = "It was switched off before the card was charged."
            if await attempts.end(db, attempt.id, "not_tried", since=["created"], code="switched_off", reason=reason):
                await purchases.move(db, purchase.id, "failed", since=["created"], reason=NO_MONEY)
        return False

    async def _ask(self, attempt_id: UUID, *, is_first: bool) -> None:
        """Have the processor say how it stands. Raises ProcessorSilent and ProcessorRefused where that stays unknown.

        `is_first`: nobody can have sent anything for this attempt before.
        """
        async with self._database.transaction() as db:
            attempt = await attempts.find_attempt(db, attempt_id)
            purchase = await purchases.get_purchase(db, attempt_id)
            customer = await purchases.customer_of(db, purchase)
            now = await _now(db)
        assert attempt is not None
        if not attempt.is_under_way:
            return
        if purchase.mode != self._processor.mode:
            raise ProcessorSilent("The processor of this attempt is not in use.")
        if customer is None:
            reason = "There is no customer at the processor."
            if not is_first:
                raise ProcessorSilent(reason)
            await self._refuse(purchase, Decline(code="card_detached"), reason)
        elif purchase.payment_id is not None:
            await self._sync.charge(purchase, purchase.payment_id)
        elif attempt.submitted_at is None or now - attempt.submitted_at < KEY_GOOD_FOR:
            await self._send(purchase, customer, is_first=is_first)
        else:
            await self._look_up(purchase, Decline(code="not_reached"), "No payment was found after a day.")

    async def _send(self, purchase: Purchase, customer: str, *, is_first: bool) -> None:
        try:
            payment_id = await self._processor.charge_saved_card(
                purchase, customer=customer, description=self._description, key=f"pi:{purchase.id}"
            )
        except CardDeclined as declined:
            if declined.payment_id is None:
                await self._look_up(purchase, Decline(code="processor_refused"), declined.reason, is_first=is_first)
                return
            payment_id = declined.payment_id
        except KeyReused as reused:
            # Another request stands under the key, perhaps from before an upgrade. What it made is found.
            await self._look_up(purchase, Decline(code="not_reached"), reused.reason)
            return
        except ProcessorRefused as refused:
            is_card = refused.param in {"payment_method", "customer"}
            decline = Decline(code="card_detached" if is_card else "processor_refused")
            await self._look_up(purchase, decline, refused.reason, is_first=is_first)
            return
        await self._sync.charge(purchase, payment_id)

    async def _look_up(self, purchase: Purchase, decline: Decline, reason: str, *, is_first: bool = False) -> None:
        """Find the payment that was made, if one was. An answer that names none is the end: none will come.

        Raises ProcessorRefused when the look itself is refused and something may have been sent before.
        """
        try:
            found = await self._sync.purchase(purchase.id)
        except ProcessorRefused:
            if not is_first:
                raise
        else:
            if found.payment_id is not None:
                return
        await self._refuse(purchase, decline, reason)

    async def _refuse(self, purchase: Purchase, decline: Decline, reason: str) -> None:
        """Nothing exists at the processor, and nothing will under this key."""
        _log.error("topup_refused", purchase=purchase.shown_id, reason=reason)
        async with self._database.transaction() as db:
            verdict = Verdict("failed", NO_MONEY, decline)
            await refuse_charge(db, purchase.id, verdict, automatic=self._automatic)

    async def _come_back(self, claim: Claim, retries: Retries, error: str) -> None:
        async with self._database.transaction() as db:
            await claims.fail(db, claim, error, retries)


async def _now(db: Connection) -> datetime:
    row = await (await db.execute("SELECT now()")).fetchone()
    assert row is not None
    now: datetime = row[0]
    return now
