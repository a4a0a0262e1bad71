"""Looking at the card processor and bringing our rows up to date: the one path of webhook, return page and jobs."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias
from uuid import UUID

import structlog

from pouch.base.database import Connection, Database
from pouch.base.errors import NotFound
from pouch.base.ids import read_id
from pouch.base.languages import later
from pouch.payments import card_rows, card_tests, disputes, letters, purchases, reversals, suspensions
from pouch.payments.cards import Cards
from pouch.payments.checkout import Checkout
from pouch.payments.errors import NoSuchObject, ProcessorRefused, ProcessorSilent
from pouch.payments.hooks import Automatic, Nobody
from pouch.payments.objects import ChargeObject, DisputeObject, MoneyBack, RefundObject
from pouch.payments.processor import Processor
from pouch.payments.settlement import settle, settle_charge
from pouch.payments.types import Decline, Payment, Purchase, Session

VISIT_TIMEOUT_S = 5.0
"""A page waits no longer for the processor; what it did not hear the next look does."""

Look: TypeAlias = Callable[[str], Awaitable[bool]]
"""Fetches an object by its id and settles what it belongs to. False: it belongs to nothing of ours."""

LOOK_BACK_S = 300
"""Clocks differ: a payment may be that much older than its row."""
REFUSED = frozenset({"requires_payment_method", "requires_action", "requires_confirmation"})
"""The states of a payment that waits for its owner. Nobody is there, so it is closed."""

SETTLED = frozenset({"refunded", "dispute_lost"})
"""After this a warning warns of nothing that is still to come."""
SUSPECTED = later("The card network warns that a payment may be fraud. Nothing is charged by itself.")

_log = structlog.get_logger("pouch.payments")


class Sync:
    """Fetches objects from the card processor and settles the purchases they belong to.

    What a webhook or a link claims is never believed: it only says where to look.
    """

    def __init__(
        self,
        database: Database,
        processor: Processor | None,
        checkout: Checkout,
        *,
        automatic: Automatic | None = None,
    ) -> None:
        self._database = database
        self._processor = processor
        self._checkout = checkout
        self._automatic = automatic or Nobody()
        self.cards = Cards(database, processor, checkout, self._automatic)
        self._looks: dict[str, list[Look]] = {
            "cs": [self._look_at_session],
            "pi": [self._look_at_payment],
            "pm": [self.cards.sync_method],
            "seti": [self.cards.sync_setup_intent],
            "ch": [self._look_at_charge],
            "py": [self._look_at_charge],
            "re": [self._look_at_refund],
            "pyr": [self._look_at_refund],
            "dp": [self._look_at_dispute],
            "du": [self._look_at_dispute],
            "issfr": [self._look_at_warning],
        }

    async def purchase(self, purchase_id: UUID) -> Purchase:
        """The purchase as it is now, after asking the processor.

        One that never got its payment page gets it. Raises NotFound, ProcessorSilent and ProcessorRefused.
        """
        async with self._database.transaction() as db:
            purchase = await purchases.get_purchase(db, purchase_id)
        if self._processor is None or purchase.mode != self._processor.mode or not purchase.is_unpaid:
            return purchase
        if purchase.kind == "top_up":
            return await self._charge(self._processor, purchase)
        purchase = await self._checkout.open(purchase)
        if purchase.session_id is None:
            return purchase
        return await self._settle(purchase, await self._processor.find_session(purchase.session_id))

    async def charge(self, purchase: Purchase, payment_id: str) -> Purchase:
        """Bring a top-up up to date with its payment. Raises ProcessorSilent and ProcessorRefused."""
        assert self._processor is not None
        return await self._settle_charge(self._processor, purchase, await self._processor.find_payment(payment_id))

    async def visit(self, organization_id: UUID, purchase_id: UUID) -> Purchase | None:
        """What the purchase's page shows: as `purchase`, but without an answer it shows what is known.

        None when the organization has no such purchase.
        """
        async with self._database.transaction() as db:
            purchase = await purchases.find_purchase(db, organization_id, purchase_id)
        if purchase is None:
            return None
        try:
            async with asyncio.timeout(VISIT_TIMEOUT_S):
                return await self.purchase(purchase_id)
        except (ProcessorSilent, ProcessorRefused) as error:
            _log.warning("purchase_not_refreshed", purchase=purchase.shown_id, reason=error.reason)
        except TimeoutError:
            _log.warning("purchase_not_refreshed", purchase=purchase.shown_id, reason="It took too long.")
        async with self._database.transaction() as db:
            return await purchases.get_purchase(db, purchase_id)

    def add(self, kind: str, look: Look) -> None:
        """Let `object` ask `look` about objects whose ids begin with `kind`, after those that were added before."""
        self._looks.setdefault(kind, []).append(look)

    async def object(self, object_id: str) -> bool:
        """Bring up to date whatever of ours an object belongs to; its id says what kind it is.

        False when it belongs to nothing of ours. Raises ProcessorSilent and ProcessorRefused.
        """
        if self._processor is None:
            return False
        for look in self._looks.get(object_id.partition("_")[0], ()):
            with contextlib.suppress(NoSuchObject):
                if await look(object_id):
                    return True
        return False

    async def money_back(self, payment_id: str) -> bool:
        """Bring up to date what went back of a payment: the credit first, if it is still missing, then the reversals.

        False when the payment paid no purchase of ours. Raises ProcessorSilent and ProcessorRefused.
        """
        processor = self._known()
        payment, back = await processor.find_payment(payment_id), await processor.money_back(payment_id)
        purchase = await self._find(processor, payment.metadata.get("purchase"))
        if purchase is not None and purchase.kind == "top_up":
            await self._settle_charge(processor, purchase, payment, back)
            return True
        session = await processor.find_session_of(payment_id)
        return session is not None and await self._session(processor, session, back)

    async def _look_at_session(self, session_id: str) -> bool:
        return await self._session(self._known(), await self._known().find_session(session_id))

    async def _look_at_payment(self, payment_id: str) -> bool:
        processor = self._known()
        payment = await processor.find_payment(payment_id)
        purchase = await self._find(processor, payment.metadata.get("purchase"))
        if purchase is not None and purchase.kind == "top_up":
            await self._settle_charge(processor, purchase, payment)
            return True
        session = await processor.find_session_of(payment_id)
        return session is not None and await self._session(processor, session)

    async def _look_at_charge(self, charge_id: str) -> bool:
        return await self._look_at_what_went_back(await self._known().find_charge(charge_id))

    async def _look_at_refund(self, refund_id: str) -> bool:
        return await self._look_at_what_went_back(await self._known().find_refund(refund_id))

    async def _look_at_dispute(self, dispute_id: str) -> bool:
        return await self._look_at_what_went_back(await self._known().find_dispute(dispute_id))

    async def _look_at_warning(self, warning_id: str) -> bool:
        found = await self._known().find_warning(warning_id)
        payment_id = found.payment_intent or (await self._known().find_charge(found.charge)).payment_intent
        if payment_id is None or not await self.money_back(payment_id):
            return False
        async with self._database.transaction() as db:
            purchase = await purchases.find_by_payment(db, payment_id)
            if purchase is None:
                return False
            purchase = await purchases.lock_purchase(db, purchase.id)
            if await disputes.keep_warning(db, purchase, found):
                await letters.alert_of_warning(db, purchase, found)
                if found.actionable and purchase.state not in SETTLED:
                    await suspensions.suspend(
                        db, purchase.organization_id, cause=disputes.suspects(found.id), reason=SUSPECTED
                    )
            await self._tell_suspended(db, purchase)
        return True

    async def _look_at_what_went_back(self, found: ChargeObject | RefundObject | DisputeObject) -> bool:
        payment_id = found.payment_intent
        if payment_id is None and not isinstance(found, ChargeObject) and found.charge is not None:
            payment_id = (await self._known().find_charge(found.charge)).payment_intent
        return payment_id is not None and await self.money_back(payment_id)

    async def _session(self, processor: Processor, session: Session, back: MoneyBack | None = None) -> bool:
        if session.mode == "setup":
            return await self.cards.sync_session(session)
        purchase = await self._find(processor, session.client_reference_id)
        if purchase is None:
            return False
        await self._settle(purchase, session, back)
        return True

    def _known(self) -> Processor:
        assert self._processor is not None, "object() asks nobody when there is none"
        return self._processor

    async def _find(self, processor: Processor, reference: str | None) -> Purchase | None:
        purchase_id = read_id("pur", reference or "")
        if purchase_id is None:
            return None
        try:
            async with self._database.transaction() as db:
                purchase = await purchases.get_purchase(db, purchase_id)
        except NotFound:
            return None
        return purchase if purchase.mode == processor.mode else None

    async def _charge(self, processor: Processor, purchase: Purchase) -> Purchase:
        """A top-up whose payment may not be known to us: nothing is charged here, it is only looked for."""
        async with self._database.transaction() as db:
            customer = await purchases.customer_of(db, purchase)
        if purchase.payment_id is not None:
            found: Payment | None = await processor.find_payment(purchase.payment_id)
        elif customer is not None:
            since = int(purchase.created_at.timestamp()) - LOOK_BACK_S
            found = await processor.look_up_payment(customer=customer, purchase=purchase.shown_id, since=since)
            if found is None:
                # Only who knows the customer can say that there is no payment of theirs.
                await processor.find_customer(customer)
        else:
            found = None
        return purchase if found is None else await self._settle_charge(processor, purchase, found)

    async def _settle_charge(
        self, processor: Processor, purchase: Purchase, payment: Payment, back: MoneyBack | None = None
    ) -> Purchase:
        """One that the bank refused stays open at the processor and could be paid later: it is closed before it counts.

        So when a top-up has failed here, nothing can come of it any more, and another may be tried.
        """
        if payment.status in REFUSED and purchase.is_unpaid:
            try:
                await processor.cancel_payment(payment.id, key=f"cancel:{purchase.id}")
            except ProcessorRefused as refused:
                _log.warning("payment_not_cancelled", purchase=purchase.shown_id, reason=refused.reason)
            payment = _as_asked(payment, await processor.find_payment(payment.id))
        back = back or await self._back_of(payment)
        async with self._database.transaction() as db:
            settled = await settle_charge(
                db, purchase.id, payment, page=self._checkout.page_of(purchase), automatic=self._automatic
            )
            settled = await self._take_back(db, settled, payment, back)
        await self._keep_card(purchase, payment)
        await self._stop_charging(settled, payment, back)
        return settled

    async def _settle(self, purchase: Purchase, session: Session, back: MoneyBack | None = None) -> Purchase:
        """Credit first, then take back, in one transaction: no moment in which credits can be spent that are gone."""
        back = back or await self._back_of(session.payment)
        async with self._database.transaction() as db:
            settled = await settle(
                db, purchase.id, session, page=self._checkout.page_of(purchase), automatic=self._automatic
            )
            settled = await self._take_back(db, settled, session.payment, back)
        if session.payment is not None:
            await self._keep_card(purchase, session.payment)
            await self._stop_charging(settled, session.payment, back)
            if session.payment.status == "requires_payment_method" and settled.state == "open":
                await self._count_refused(settled, session.payment, session.id)
        return settled

    async def _count_refused(self, purchase: Purchase, payment: Payment, session_id: str) -> None:
        """Close a payment page on which too many cards were refused; what became of it the next look says."""
        tried = await self._known().tried_cards(payment.id)
        async with self._database.transaction() as db:
            is_too_much = await card_tests.note_refused(db, purchase.organization_id, purchase.id, tried)
        if is_too_much:
            _log.warning("payment_page_closed", purchase=purchase.shown_id, refused=len(tried))
            with contextlib.suppress(ProcessorRefused):
                await self._known().expire_session(session_id)

    async def _back_of(self, payment: Payment | None) -> MoneyBack | None:
        if payment is None or not payment.went_back:
            return None
        return await self._known().money_back(payment.id)

    async def _take_back(
        self, db: Connection, purchase: Purchase, payment: Payment | None, back: MoneyBack | None
    ) -> Purchase:
        if back is None or payment is None or purchase.credited_at is None or purchase.payment_id != payment.id:
            return purchase
        return await reversals.apply(db, purchase.id, back, page=self._checkout.page_of(purchase))

    async def _stop_charging(self, purchase: Purchase, payment: Payment, back: MoneyBack | None) -> None:
        """A disputed card is not charged again by itself until a person wants it, and a lost one until it is another.

        In a transaction after that of the books, because the rule is locked before the account. Where a process ends
        between the two the next look does it, and meanwhile the suspension itself stands.
        """
        if back is None or not back.disputes or purchase.payment_id != payment.id:
            return
        async with self._database.transaction() as db:
            purchase = await purchases.lock_purchase(db, purchase.id)
            await self._tell_suspended(db, purchase)
            method_id = purchase.method_id or payment.payment_method
            for each in await disputes.of_purchase(db, purchase.id):
                if not (each.is_lost and each.counts):
                    continue
                if await suspensions.note(db, purchase.organization_id, cause=f"lost:{each.stripe_id}"):
                    card = await card_rows.find_method(db, purchase.mode, method_id) if method_id else None
                    await self._automatic.card_lost_dispute(db, purchase.organization_id, card)

    async def _tell_suspended(self, db: Connection, purchase: Purchase) -> None:
        reason = await suspensions.why_suspended(db, purchase.organization_id)
        if reason is not None:
            await self._automatic.suspended(db, purchase.organization_id, reason)

    async def _keep_card(self, purchase: Purchase, payment: Payment) -> None:
        """Remember the card that the buyer agreed to have saved. It is not worth the credits: failing to is mended."""
        if not purchase.saves_card or payment.status != "succeeded" or payment.payment_method is None:
            return
        try:
            await self.cards.sync_method(payment.payment_method)
        except (ProcessorSilent, ProcessorRefused) as error:
            _log.warning("card_not_kept_yet", purchase=purchase.shown_id, reason=error.reason)


def _as_asked(before: Payment, after: Payment) -> Payment:
    """A payment that is closed now and waited for its owner's bank before: that is why, where nothing else is said."""
    if before.status != "requires_action" or after.status != "canceled" or after.last_payment_error is not None:
        return after
    return replace(after, last_payment_error=Decline(code="authentication_required"))
