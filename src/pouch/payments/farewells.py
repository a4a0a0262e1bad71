"""What becomes of cards, payment pages and late payments once an account is deleted.

In words. The saved cards are taken off their customer at the processor, and the payment pages that are still open are
closed there, so that nobody pays into an account that is gone. What was paid a moment before all the same is credited
as always, because money that came is owed; then all of it, the fee too, goes back to the card that paid, and the
operators are told. Everything is tried again until the processor has done it; each step may happen twice.
"""

import contextlib
from datetime import timedelta
from uuid import UUID

import structlog

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Connection, Database
from pouch.jobs import claims
from pouch.jobs.claims import Retries
from pouch.payments import card_rows, closings, purchases
from pouch.payments.errors import NotRefundable, ProcessorRefused, ProcessorSilent
from pouch.payments.processor import Processor
from pouch.payments.refunding import Ask, Refunding
from pouch.payments.sync import Sync
from pouch.payments.types import Purchase

LEASE_S = 60.0
RETRIES = Retries(delays_s=(10, 30, 60, 300, 1800, 3600), attempts_max=1_000_000, waiting="closing", stuck="closing")
UNANSWERED = timedelta(minutes=5)
"""A payment page that was asked for so long ago, and that the processor does not know, will never be there."""

_log = structlog.get_logger("pouch.payments")


class Farewells:
    """The job of a closing."""

    def __init__(
        self,
        database: Database,
        processor: Processor,
        sync: Sync,
        refunding: Refunding,
        *,
        clock: Clock = system_clock,
    ) -> None:
        self._database = database
        self._processor = processor
        self._sync = sync
        self._refunding = refunding
        self._clock = clock

    async def carry_out(self, organization_id: UUID) -> None:
        """Do all that is left for a deleted account, if it is due and nobody else does."""
        async with self._database.transaction() as db:
            claim = await claims.claim(db, closings.TABLE, organization_id, LEASE_S)
            if claim is None:
                return
        error, is_over = "", False
        try:
            is_over = await self._end_all(organization_id)
        except (ProcessorSilent, ProcessorRefused) as failure:
            error = failure.reason
            _log.warning("account_not_closed_yet", organization=str(organization_id), reason=error)
        async with self._database.transaction() as db:
            if is_over:
                await claims.finish(db, claim, "closed")
            else:
                await claims.fail(db, claim, error, RETRIES)

    async def due(self, db: Connection) -> list[UUID]:
        """The deleted accounts with something to do."""
        return await claims.due(db, closings.TABLE)

    async def _end_all(self, organization_id: UUID) -> bool:
        """Whether nothing is left. Raises ProcessorSilent and ProcessorRefused."""
        mode = self._processor.mode
        async with self._database.transaction() as db:
            waiting = [each for each in await purchases.unended(db, organization_id) if each.mode == mode]
            setups = [each for each in await card_rows.unended_setups(db, organization_id) if each.mode == mode]
        ended = [await self._end_page(purchase) for purchase in waiting]
        for setup in setups:
            if setup.session_id is not None:
                await self._expire(setup.session_id)
                # A card that was saved in the last moment is found by this, and removed as it is kept.
                await self._sync.object(setup.session_id)
            async with self._database.transaction() as db:
                await card_rows.end_setup(db, setup.id, "expired")
        left = await self._sync.cards.detach_removed(organization_id)
        await self._give_back(organization_id)
        return all(ended) and not left

    async def _end_page(self, purchase: Purchase) -> bool:
        """Close a payment page. False while it may still appear, or be confirmed by its bank."""
        if purchase.session_id is None and not await self._find_page(purchase):
            is_old = self._clock() - purchase.created_at > UNANSWERED
            async with self._database.transaction() as db:
                return is_old and await purchases.move(db, purchase.id, "expired", since=["created"])
        async with self._database.transaction() as db:
            session_id = (await purchases.get_purchase(db, purchase.id)).session_id
        assert session_id is not None
        await self._expire(session_id)
        return (await self._sync.purchase(purchase.id)).state not in {"created", "open"}

    async def _find_page(self, purchase: Purchase) -> bool:
        """Look for a page whose making was never answered."""
        async with self._database.transaction() as db:
            customer = await purchases.customer_of(db, purchase)
        if customer is None:
            return False
        made = await self._processor.look_up_session(customer=customer, reference=purchase.shown_id)
        if made is None:
            return False
        async with self._database.transaction() as db:
            await purchases.mark_open(db, purchase.id, made)
        return True

    async def _expire(self, session_id: str) -> None:
        # It is not open any more when it was paid, or its time was over: what became of it the next look says.
        with contextlib.suppress(ProcessorRefused):
            await self._processor.expire_session(session_id)

    async def _give_back(self, organization_id: UUID) -> None:
        """Refund what came after the end."""
        async with self._database.transaction() as db:
            since = await closings.closed_at(db, organization_id)
            assert since is not None
            late = await purchases.credited_after(db, organization_id, self._processor.mode, since)
            wanted = [(purchase, await self._refunding.left(db, purchase)) for purchase in late]
        for purchase, left in wanted:
            if not left:
                continue
            note = "The account was deleted before this payment came."
            ask = Ask("operator", None, left, f"closed:{purchase.id}", note=note, with_fee=True)
            try:
                await self._refunding.start(purchase.id, ask)
            except NotRefundable:
                _log.error("late_payment_not_refunded", purchase=purchase.shown_id)
