"""What a worker does for payments when the bell rings, or when something has waited too long for it."""

from uuid import UUID

from pouch.base.database import Connection, Database
from pouch.jobs import claims
from pouch.jobs.registry import Jobs
from pouch.payments import card_rows, cards, closings, events, purchases, reconciling, refunding
from pouch.payments.errors import ProcessorRefused, ProcessorSilent
from pouch.payments.events import Inbox
from pouch.payments.farewells import Farewells
from pouch.payments.processor import Processor
from pouch.payments.reconciling import Reconciling
from pouch.payments.refunding import Refunding
from pouch.payments.sync import Sync

JOB = "payments.purchase"
LEASE_S = 60.0
NOTICES_EVERY_S = 6 * 3600
DETACH_EVERY_S = 600


class PaymentJobs:
    """The handlers. Each claims its row, and may be called twice, late or for a row that is done."""

    def __init__(
        self, database: Database, processor: Processor, sync: Sync, inbox: Inbox, refunding: Refunding
    ) -> None:
        self._reconciling = Reconciling(database, processor, sync, inbox)
        self.farewells = Farewells(database, processor, sync, refunding)
        self._database = database
        self._refunding = refunding
        self._processor = processor
        self._sync = sync
        self._inbox = inbox

    def register(self, jobs: Jobs) -> None:
        """Tell the worker about all kinds."""
        jobs.register(events.JOB, self._inbox.process, events.due)
        jobs.register(JOB, self.look_after, self.due)
        jobs.register(cards.JOB, self._sync.cards.look_after, self.due_setups)
        jobs.every(NOTICES_EVERY_S, "payments.ending_cards", self._sync.cards.tell_of_ending_cards)
        jobs.every(reconciling.EVERY_S, "payments.reconcile", self._reconciling.by_the_clock)
        jobs.register(refunding.JOB, self._refunding.carry_out, self._refunding.due)
        jobs.register(closings.JOB, self.farewells.carry_out, self.farewells.due)
        jobs.every(DETACH_EVERY_S, "payments.detach", self._sync.cards.tidy)

    async def look_after(self, purchase_id: UUID) -> None:
        """Ask the processor about a purchase that no event has brought to its end."""
        async with self._database.transaction() as db:
            claim = await claims.claim(db, purchases.TABLE, purchase_id, LEASE_S)
        if claim is None:
            return
        error = ""
        try:
            await self._sync.purchase(purchase_id)
        except (ProcessorSilent, ProcessorRefused) as failure:
            error = failure.reason
        async with self._database.transaction() as db:
            await purchases.come_back(db, claim, error)

    async def due_setups(self, db: Connection) -> list[UUID]:
        """The visits to save a card that nobody has looked at for long enough."""
        return await claims.due(db, card_rows.SETUPS)

    async def due(self, db: Connection) -> list[UUID]:
        """The purchases to ask about; those of another mode wait until its processor is back."""
        return await purchases.due(db, self._processor.mode)
