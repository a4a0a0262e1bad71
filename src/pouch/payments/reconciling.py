"""Reconciliation: every payment, refund and dispute of the last days at the processor, compared with our books.

In words. The last four days are compared, and after an outage all since the last whole check, up to a month. What the
processor has and we have not is looked at again by the one path that settles (`sync`): that repairs a webhook that
never came. What differs afterwards is written down, and the operators are told once. What we credited and the processor
does not know is a difference that nothing repairs. What is decided months after it began is not among the last days:
each dispute that is open in our books is looked at every time, and so is the payment behind each balance transaction
that is new and takes money or gives it back. So is a top-up or refund of which the processor has said nothing for a
day: whether money moved is unknown, and the operators must know. Checks that cannot be finished for hours are said,
too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Connection, Database
from pouch.base.money import Money
from pouch.ledger.history import amounts_of
from pouch.payments import checks, clearing, disputes, events, letters, purchases, refunds
from pouch.payments.checks import AskedBy, Check, Found
from pouch.payments.errors import NoProcessor, NoSuchObject, ProcessorRefused, ProcessorSilent
from pouch.payments.events import Inbox
from pouch.payments.objects import DisputeObject, MovementObject, RefundObject
from pouch.payments.processor import Processor
from pouch.payments.sync import Sync
from pouch.payments.types import Payment, Purchase

LOOK_BACK = timedelta(days=4)
OVERLAP = timedelta(days=1)
LOOK_BACK_MAX = timedelta(days=30)
"""The processor keeps its events no longer either."""
ANSWERED_WITHIN = timedelta(days=1)
"""The longest that a charge or a refund may be unknown before the operators hear of it."""
EVERY_S = 3600
CHECK_TIMEOUT_S = 240.0
PATIENCE_S = (1, 2, 4, 8, 15, 30)
"""Where everything starts together, the worker may be there before the embedded processor is."""

_log = structlog.get_logger("pouch.payments")


@dataclass
class _Tally:
    """What one check has seen so far."""

    looked_at: int = 0
    repaired: list[Found] = field(default_factory=list)
    open: list[Found] = field(default_factory=list)


class Reconciling:
    """Compares, repairs what it can prove, and alarms on the rest. Any number of checks may run at once."""

    def __init__(
        self,
        database: Database,
        processor: Processor | None,
        sync: Sync,
        inbox: Inbox,
        *,
        clock: Clock = system_clock,
    ) -> None:
        self._database = database
        self._processor = processor
        self._sync = sync
        self._inbox = inbox
        self._clock = clock

    async def by_the_clock(self) -> None:
        """What the worker does each hour. A processor that does not answer is asked again for a minute."""
        await self.check("clock", patience_s=PATIENCE_S)

    async def check(self, asked_by: AskedBy, *, patience_s: Sequence[float] = ()) -> Check:
        """Make one check and return its report. Raises NoProcessor; any other trouble stands in the report.

        A processor that does not answer is asked again after each of these pauses.
        """
        processor = self._processor
        if processor is None:
            raise NoProcessor
        async with self._database.transaction() as db:
            check_id = await checks.begin(db, asked_by)
        tally, error = _Tally(), ""
        try:
            since = await self._since()
            # A longer time has more to compare.
            async with asyncio.timeout(CHECK_TIMEOUT_S * max(1.0, (self._clock() - since) / LOOK_BACK)):
                for pause_s in patience_s:
                    try:
                        await self._compare(processor, since, tally)
                        break
                    except ProcessorSilent:
                        await asyncio.sleep(pause_s)
                        # What was repaired stays so; everything else is found again.
                        tally = _Tally(repaired=tally.repaired)
                else:
                    await self._compare(processor, since, tally)
        except (ProcessorSilent, ProcessorRefused) as failure:
            error = failure.reason or failure.message
        except TimeoutError:
            error = "It took too long."
        async with self._database.transaction() as db:
            await self._report(db, tally, is_whole=not error)
            result = checks.Result(tally.looked_at, len(tally.repaired), len(tally.open), error)
            check = await checks.finish(db, check_id, result)
            if error and await checks.is_overdue(db, self._clock()):
                await letters.alert(
                    db,
                    f"reconciliation:{self._clock():%Y-%m-%d}",
                    "Our books could not be compared with the card processor's",
                    [f"The last checks were not finished: {error}"],
                    "/admin/reconciliation",
                )
        tell = _log.error if tally.open or error else _log.info
        tell(
            "reconciled", looked_at=check.looked_at, repaired=check.repaired, differences=check.differences, error=error
        )
        return check

    async def _report(self, db: Connection, tally: _Tally, *, is_whole: bool) -> None:
        for found in tally.repaired:
            await checks.note(db, found, repaired=True)
        for found in tally.open:
            if await checks.note(db, found, repaired=False):
                day = f"{self._clock():%Y-%m-%d}"
                await letters.alert(
                    db,
                    f"difference:{found.kind}:{found.object_id}:{day}",
                    "Our books differ from the card processor's",
                    [found.what],
                    "/admin/reconciliation",
                )
        if is_whole:
            await checks.close_others(db, tally.open)

    async def _since(self) -> datetime:
        """The last days, and after an outage all that no whole check has seen, up to a month."""
        now = self._clock()
        async with self._database.transaction() as db:
            last = await checks.last_check(db)
        since = now - LOOK_BACK
        if last is not None:
            since = min(since, last.started_at - OVERLAP)
        return max(since, now - LOOK_BACK_MAX)

    async def _compare(self, processor: Processor, since: datetime, tally: _Tally) -> None:
        await self._events(processor, since, tally)
        payments = await processor.payments_since(since)
        await self._payments(payments, tally)
        await self._ours(processor, {payment.id for payment in payments}, since, tally)
        for refund in reversed(await processor.refunds_since(since)):
            await self._refund(refund, tally)
        for dispute in reversed(await processor.disputes_since(since)):
            await self._dispute(dispute, tally)
        await self._undecided(processor, tally)
        await self._unanswered(processor, tally)
        movements = await processor.movements_since(since - LOOK_BACK)
        await self._behind(processor, movements, tally)
        async with self._database.transaction() as db:
            await clearing.note_movements(db, processor.mode, movements)
            tally.looked_at += len(movements)
            tally.open += clearing.foreign(movements)
            tally.open += await clearing.untied(db, processor.mode, since)

    async def _events(self, processor: Processor, since: datetime, tally: _Tally) -> None:
        """Events that no webhook of ours has taken are taken now."""
        for found in reversed(await processor.undelivered_since(since)):
            tally.looked_at += 1
            if not events.is_acted_on(found.type):
                continue
            async with self._database.transaction() as db:
                event_id = await events.receive(db, found.event, processor.mode)
            if event_id is not None:
                await self._inbox.process(event_id)
                tally.repaired.append(Found("event", found.id, f"The event {found.type} had not arrived."))

    async def _payments(self, payments: list[Payment], tally: _Tally) -> None:
        """Every payment that succeeded and names a purchase has its credit."""
        for payment in payments:
            shown = payment.metadata.get("purchase")
            if payment.status != "succeeded" or not shown or "organization" not in payment.metadata:
                continue
            tally.looked_at += 1
            amount = Money.from_cents(payment.amount_received)
            what = f"The payment {payment.id} of {amount} for {shown} is not credited."
            found = Found("payment", payment.id, what)
            await self._mend(found, payment.id, partial(self._is_credited, payment), tally)

    async def _ours(self, processor: Processor, listed: set[str], since: datetime, tally: _Tally) -> None:
        """Every credit of ours is a payment there."""
        async with self._database.transaction() as db:
            credited = await purchases.credited_since(db, processor.mode, since)
        for purchase in credited:
            if purchase.payment_id is None or purchase.payment_id in listed:
                continue
            tally.looked_at += 1
            try:
                payment = await processor.find_payment(purchase.payment_id)
            except NoSuchObject:
                payment = None
            if payment is None or payment.status != "succeeded":
                what = f"{purchase.shown_id} has {purchase.amount}; its payment {purchase.payment_id} is not there."
                tally.open.append(Found("payment", purchase.payment_id, what, purchase.id))

    async def _unanswered(self, processor: Processor, tally: _Tally) -> None:
        """What was asked for a day ago and has no answer yet."""
        async with self._database.transaction() as db:
            charges = await purchases.unanswered(db, processor.mode, ANSWERED_WITHIN)
            waiting = await refunds.unanswered(db, processor.mode, ANSWERED_WITHIN)
        for each in charges:
            what = (
                f"Whether the top-up {each.shown_id} of {each.amount} was charged is not known; there is no other one."
            )
            tally.open.append(Found("payment", each.shown_id, what, each.id))
        for row in waiting:
            what = f"Whether the refund {row.shown_id} of {row.amount} was made is not known; its credits stay held."
            tally.open.append(Found("refund", row.shown_id, what, row.purchase_id))

    async def _refund(self, refund: RefundObject, tally: _Tally) -> None:
        purchase = await self._purchase_of(refund.payment_intent)
        if purchase is None:
            return
        tally.looked_at += 1
        amount = Money.from_cents(refund.amount)
        what = f"The refund {refund.id} of {amount} is {refund.status} at the processor and not in our books."
        found = Found("refund", refund.id, what, purchase.id)
        await self._mend(found, refund.id, partial(self._is_refunded, purchase, refund), tally)

    async def _dispute(self, dispute: DisputeObject, tally: _Tally) -> None:
        purchase = await self._purchase_of(dispute.payment_intent)
        if purchase is None:
            return
        tally.looked_at += 1
        what = f"The dispute {dispute.id} is {dispute.status} at the processor and otherwise in our books."
        found = Found("dispute", dispute.id, what, purchase.id)
        await self._mend(found, dispute.id, partial(self._is_disputed, purchase, dispute), tally)

    async def _undecided(self, processor: Processor, tally: _Tally) -> None:
        """A dispute is decided months later, and the event that says so may never come."""
        async with self._database.transaction() as db:
            undecided = await disputes.undecided(db, processor.mode)
        for row in undecided:
            try:
                found = await processor.find_dispute(row.stripe_id)
            except NoSuchObject:
                what = f"The dispute {row.stripe_id} is open in our books and not there at the processor."
                tally.open.append(Found("dispute", row.stripe_id, what, row.purchase_id))
                continue
            await self._dispute(found, tally)

    async def _behind(self, processor: Processor, movements: Sequence[MovementObject], tally: _Tally) -> None:
        """The payment behind each new movement that takes money or gives it back: a refund may fail weeks later.

        They are noted only after this, so a check that ends between the two looks again.
        """
        async with self._database.transaction() as db:
            new = await clearing.new_of(db, processor.mode, movements)
            ours = await purchases.find_by_payments(db, [each.payment_id for each in new if each.payment_id])
        for each in new:
            purchase = ours.get(each.payment_id or "")
            if purchase is None or purchase.payment_id is None or each.kind is None:
                continue
            before = await self._afterwards(purchase)
            await self._sync.money_back(purchase.payment_id)
            if await self._afterwards(purchase) != before:
                what = (
                    f"The movement {each.id} ({each.reporting_category}) of {purchase.shown_id} was not in our books."
                )
                tally.repaired.append(Found(each.kind, each.source_id, what, purchase.id))

    async def _afterwards(self, purchase: Purchase) -> object:
        """Everything that has gone back of a purchase, to see whether a look changed it."""
        async with self._database.transaction() as db:
            return await refunds.of_purchase(db, purchase.id), await disputes.of_purchase(db, purchase.id)

    async def _mend(self, found: Found, object_id: str, agrees: Callable[[], Awaitable[bool]], tally: _Tally) -> None:
        """Look again by the one path that settles; what still differs afterwards is a difference."""
        if await agrees():
            return
        await self._sync.object(object_id)
        (tally.repaired if await agrees() else tally.open).append(found)

    async def _is_credited(self, payment: Payment) -> bool:
        key = f"pi:{payment.id}:credit"
        async with self._database.transaction() as db:
            purchase = await purchases.find_by_payment(db, payment.id)
            posted = await amounts_of(db, [key])
        return purchase is not None and posted.get(key) == purchase.amount

    async def _is_refunded(self, purchase: Purchase, found: RefundObject) -> bool:
        async with self._database.transaction() as db:
            row = await refunds.of_object(db, purchase, found)
        if row is None:
            return found.is_failed
        if found.is_failed:
            return row.state == "failed"
        return row.state == "succeeded" if found.is_final else row.state == "pending"

    async def _is_disputed(self, purchase: Purchase, found: DisputeObject) -> bool:
        async with self._database.transaction() as db:
            rows = await disputes.of_purchase(db, purchase.id)
        row = next((row for row in rows if row.stripe_id == found.id), None)
        return (
            row is not None
            and row.status == found.status
            and (row.withdrawn, row.reinstated) == (found.withdrawn, found.reinstated)
        )

    async def _purchase_of(self, payment_id: str | None) -> Purchase | None:
        if payment_id is None:
            return None
        async with self._database.transaction() as db:
            return await purchases.find_by_payment(db, payment_id)
