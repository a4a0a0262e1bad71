"""Looking at the card processor and bringing our rows up to date: the one path of webhook, return page and jobs."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from uuid import UUID

import structlog

from pouch.base.database import Database
from pouch.base.errors import NotFound
from pouch.base.ids import read_id
from pouch.payments import purchases
from pouch.payments.checkout import Checkout
from pouch.payments.errors import NoSuchObject, ProcessorRefused, ProcessorSilent
from pouch.payments.processor import Processor
from pouch.payments.settlement import settle
from pouch.payments.types import Purchase, Session

VISIT_TIMEOUT_S = 5.0
"""A page waits no longer for the processor; what it did not hear the next look does."""

Look: TypeAlias = Callable[[str], Awaitable[bool]]
"""Fetches an object by its id and settles what it belongs to. False: it belongs to nothing of ours."""

_log = structlog.get_logger("pouch.payments")


class Sync:
    """Fetches objects from the card processor and settles the purchases they belong to.

    What a webhook or a link claims is never believed: it only says where to look.
    """

    def __init__(self, database: Database, processor: Processor | None, checkout: Checkout) -> None:
        self._database = database
        self._processor = processor
        self._checkout = checkout
        self._looks: dict[str, list[Look]] = {"cs": [self._look_at_session], "pi": [self._look_at_payment]}

    async def purchase(self, purchase_id: UUID) -> Purchase:
        """The purchase as it is now, after asking the processor.

        One that never got its payment page gets it. Raises NotFound, ProcessorSilent and ProcessorRefused.
        """
        async with self._database.transaction() as db:
            purchase = await purchases.get_purchase(db, purchase_id)
        if self._processor is None or purchase.mode != self._processor.mode or not purchase.is_unpaid:
            return purchase
        purchase = await self._checkout.open(purchase)
        if purchase.session_id is None:
            return purchase
        return await self._settle(purchase, await self._processor.find_session(purchase.session_id))

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

    async def _look_at_session(self, session_id: str) -> bool:
        return await self._settle_if_ours(await self._known().find_session(session_id))

    async def _look_at_payment(self, payment_id: str) -> bool:
        return await self._settle_if_ours(await self._known().find_session_of(payment_id))

    async def _settle_if_ours(self, session: Session | None) -> bool:
        purchase_id = read_id("pur", session.client_reference_id or "") if session is not None else None
        if session is None or purchase_id is None:
            return False
        try:
            async with self._database.transaction() as db:
                purchase = await purchases.get_purchase(db, purchase_id)
        except NotFound:
            return False
        if purchase.mode != self._known().mode:
            return False
        await self._settle(purchase, session)
        return True

    def _known(self) -> Processor:
        assert self._processor is not None, "object() asks nobody when there is none"
        return self._processor

    async def _settle(self, purchase: Purchase, session: Session) -> Purchase:
        async with self._database.transaction() as db:
            return await settle(db, purchase.id, session, page=self._checkout.page_of(purchase))
