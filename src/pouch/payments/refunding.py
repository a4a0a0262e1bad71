"""Giving money back: the row and the hold, then the card processor, then the books.

The credits are held before the processor hears of it, so nobody can spend them meanwhile. Refused: they come back, but
only after a look that finds no such refund: a refusal may answer the second request while the first was carried out.
No answer: they stay held, and the refund is looked up.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Connection, Database
from pouch.base.errors import Conflict, InvalidInput
from pouch.base.ids import new_id
from pouch.base.languages import say
from pouch.base.money import NANOS_PER_CENT, ZERO, Money
from pouch.jobs import claims
from pouch.jobs.doorbell import ring
from pouch.ledger.accounts import balance
from pouch.ledger.lots import unused_of
from pouch.ledger.operations import Hold, Refused
from pouch.ledger.posting import post_batch
from pouch.payments import disputes, purchases, refunds, reversals
from pouch.payments.checkout import ATTEMPT, Checkout
from pouch.payments.errors import (
    NoProcessor,
    NotRefundable,
    ProcessorRefused,
    ProcessorSilent,
    RefundChanged,
)
from pouch.payments.parts import Parts, asked_for, paid_for
from pouch.payments.processor import Processor
from pouch.payments.refunds import NewRefund, Refund, RefundReason, RefundSource
from pouch.payments.sync import Sync
from pouch.payments.types import Purchase
from pouch.settings import Settings
from pouch.web.filters import dollars

JOB = "payments.refund"
LEASE_S = 60.0
START_TIMEOUT_S = 10.0
"""Whoever asks waits no longer; the page shows what came of it later."""
KEY_LIFE = timedelta(hours=20)
"""So long the processor surely remembers the key; afterwards a refund is looked up before anything is sent."""

_log = structlog.get_logger("pouch.payments")


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody asks for. `attempt` was minted by the page they saw."""

    source: RefundSource
    person_id: UUID | None
    amount: Money
    """The credits; fee and tax go back with them as `parts` says."""
    attempt: str
    reason: RefundReason = "requested_by_customer"
    note: str = ""
    shown: Money | None = None
    """What the page said would go to the card. None: nobody was told."""
    with_fee: bool = False
    """Give the fee back even where it usually stays."""


class Refunding:
    """Refunds purchases. A form that is sent twice, a lost answer and a crash all end at one refund and one posting."""

    def __init__(  # noqa: PLR0913 -- what it works with
        self,
        database: Database,
        processor: Processor | None,
        checkout: Checkout,
        sync: Sync,
        *,
        window: timedelta,
        clock: Clock = system_clock,
    ) -> None:
        self._database = database
        self._processor = processor
        self._checkout = checkout
        self._sync = sync
        self._window = window
        self._clock = clock

    async def start(self, purchase_id: UUID, ask: Ask) -> Refund:
        """The refund of this attempt, as far as it has come. Repeating it gives the same one.

        Raises NotFound, NoProcessor, InvalidInput (`amount_usd`), NotRefundable and RefundChanged.
        """
        async with self._database.transaction() as db:
            refund = await self.begin(db, purchase_id, ask)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self.carry_out(refund.id)
        except TimeoutError:
            _log.warning("refund_not_sent_yet", refund=refund.shown_id)
        async with self._database.transaction() as db:
            return await refunds.get_refund(db, refund.id)

    async def begin(self, db: Connection, purchase_id: UUID, ask: Ask) -> Refund:
        """The first half of `start`, in the caller's transaction: the row and the hold.

        `start` with the same attempt, or a worker, does the rest. Raises as `start`.
        """
        if self._processor is None:
            raise NoProcessor
        if not ATTEMPT.fullmatch(ask.attempt):
            raise InvalidInput(say("The form was not complete. Open the page again."), field="attempt")
        purchase = await purchases.lock_purchase(db, purchase_id)
        known = await refunds.of_attempt(db, purchase.id, ask.attempt)
        if known is not None and known.credits != ask.amount:
            asked = dollars(known.credits)
            raise Conflict(say("This form has already asked for %(amount)s. Open the page again.", amount=asked))
        return known or await self._add(db, purchase, ask)

    async def carry_out(self, refund_id: UUID) -> None:
        """Take a refund one step further, if it is due and nobody else does: send it, or look it up."""
        processor = self._processor
        if processor is None:
            return
        async with self._database.transaction() as db:
            claim = await claims.claim(db, refunds.TABLE, refund_id, LEASE_S)
            if claim is None:
                return
            refund = await refunds.get_refund(db, refund_id)
            purchase = await purchases.get_purchase(db, refund.purchase_id)
        error = ""
        try:
            await self._send(processor, purchase, refund)
        except ProcessorSilent as silent:
            error = silent.reason
            async with self._database.transaction() as db:
                await refunds.mark_unknown(db, refund.id)
        except ProcessorRefused as refused:
            error = refused.reason
            _log.error("refund_refused", refund=refund.shown_id, reason=refused.reason)
            async with self._database.transaction() as db:
                await reversals.give_up(db, refund, reversals.REFUSED, page=self._checkout.page_of(purchase))
        async with self._database.transaction() as db:
            await refunds.come_back(db, claim, error)

    async def due(self, db: Connection) -> list[UUID]:
        """The refunds that nobody has looked at for long enough; those of another mode wait for its processor."""
        return [] if self._processor is None else await refunds.due(db, self._processor.mode)

    async def self_service(self, db: Connection, purchase: Purchase) -> Money:
        """What the buyer may take back of a purchase by themselves: what is unused, within the operator's window."""
        if not await self._is_refundable(db, purchase) or purchase.credited_at is None:
            return ZERO
        if self._clock() >= purchase.credited_at + self._window:
            return ZERO
        has = await balance(db, purchase.organization_id)
        unused = await unused_of(db, purchase.organization_id, purchase.id)
        gone = await reversals.spoken_for(db, purchase)
        least = min(unused, has.available, purchase.amount - gone.credits)
        return ZERO if has.debt else Money(max(0, least.nanos) // NANOS_PER_CENT * NANOS_PER_CENT)

    async def left(self, db: Connection, purchase: Purchase) -> Money:
        """How many credits of a purchase the operator may refund."""
        if not await self._is_refundable(db, purchase):
            return ZERO
        return max(ZERO, purchase.amount - (await reversals.spoken_for(db, purchase)).credits)

    async def parts(self, db: Connection, purchase: Purchase, amount: Money, *, with_fee: bool = False) -> Parts:
        """What would go to the card with so many credits: these, and what of fee and tax comes back with them."""
        gone = await reversals.spoken_for(db, purchase)
        return asked_for(paid_for(purchase), gone, amount, gives_fee=purchase.fee_comes_back or with_fee)

    async def _is_refundable(self, db: Connection, purchase: Purchase) -> bool:
        is_ours = self._processor is not None and purchase.mode == self._processor.mode
        if not is_ours or purchase.state not in {"credited", "part_refunded"} or purchase.payment_id is None:
            return False
        return not any(each.is_open and each.counts for each in await disputes.of_purchase(db, purchase.id))

    async def _add(self, db: Connection, purchase: Purchase, ask: Ask) -> Refund:
        left = await self.left(db, purchase)
        if ask.source == "customer":
            left = await self.self_service(db, purchase)
        if not left:
            raise NotRefundable(purchase.id)
        if ask.amount.nanos <= 0 or ask.amount.nanos % NANOS_PER_CENT:
            raise InvalidInput(say("Cards are refunded in whole cents."), field="amount_usd")
        if ask.amount > left:
            raise InvalidInput(say("At most %(amount)s can be refunded.", amount=dollars(left)), field="amount_usd")
        parts = await self.parts(db, purchase, ask.amount, with_fee=ask.with_fee)
        if ask.shown not in {None, parts.total}:
            raise RefundChanged(parts)
        refund_id = new_id()
        held = await _hold(db, purchase, refund_id, ask.amount)
        if ask.source == "customer" and held != ask.amount:
            raise NotRefundable(purchase.id)
        new = NewRefund(
            refund_id,
            ask.source,
            parts.total,
            held,
            ask.person_id,
            ask.attempt,
            reason=ask.reason,
            note=ask.note,
            fee=parts.fee,
            tax=parts.tax,
        )
        refund = await refunds.add_refund(db, purchase, new)
        await ring(db, JOB, refund.id)
        _log.info("refund_started", purchase=purchase.shown_id, refund=refund.shown_id, source=ask.source)
        return refund

    async def _send(self, processor: Processor, purchase: Purchase, refund: Refund) -> None:
        assert purchase.payment_id is not None
        if refund.stripe_id is None:
            if self._clock() < refund.created_at + KEY_LIFE:
                await self._create(processor, purchase, refund)
            else:
                await self._look_up(processor, purchase, refund)
        await self._sync.money_back(purchase.payment_id)

    async def _create(self, processor: Processor, purchase: Purchase, refund: Refund) -> None:
        assert purchase.payment_id is not None
        try:
            made = await processor.create_refund(purchase.payment_id, refund, key=f"rf:{refund.id}")
        except ProcessorRefused as refused:
            # Whether this was the first request nobody knows for certain: the process may have died after another.
            await self._look_up(processor, purchase, refund, refused)
            return
        async with self._database.transaction() as db:
            await refunds.mark_known(db, refund.id, made)

    async def _look_up(
        self, processor: Processor, purchase: Purchase, refund: Refund, refused: ProcessorRefused | None = None
    ) -> None:
        """Find out whether a refund that cannot be sent, or not again, was made.

        Raises ProcessorRefused when it was not, and ProcessorSilent where that cannot be known.
        """
        assert purchase.payment_id is not None
        try:
            await processor.find_payment(purchase.payment_id)
            back = await processor.money_back(purchase.payment_id)
        except ProcessorRefused as unknown:
            # It does not know a payment that was made: perhaps it is another account, and can say nothing of this one.
            raise ProcessorSilent(f"It does not know the payment {purchase.payment_id}: {unknown.reason}") from unknown
        if not any(found.mark == refund.shown_id for found in back.refunds):
            raise refused or ProcessorRefused(
                "It never reached the processor, and its key is too old to be used again."
            )


def refund_window(settings: Settings) -> timedelta:
    """How long a buyer may take a purchase back by themselves."""
    return timedelta(hours=settings.file.credits.refund_window_hours)


async def _hold(db: Connection, purchase: Purchase, refund_id: UUID, amount: Money) -> Money:
    """Set aside what is available of the amount; what was spent falls due when the money is gone. Zero under a debt."""
    wanted = amount.nanos
    for _ in range(2):
        if wanted <= 0:
            break
        (answer,) = await post_batch(db, [Hold(refund_id, purchase.organization_id, wanted)])
        if not isinstance(answer, Refused):
            return Money(wanted)
        # The account is locked now, so what it says to be available stays so.
        wanted = answer.available_nanos if answer.source == "credits" else 0
    return ZERO
