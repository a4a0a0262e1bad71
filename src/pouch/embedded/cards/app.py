"""The embedded card processor as one thing: an ASGI application to mount, and loops to run beside it."""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import structlog
from psycopg_pool import PoolTimeout
from starlette.applications import Starlette

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Database
from pouch.base.errors import PouchError
from pouch.embedded.cards import sessions, store
from pouch.embedded.cards.api import Api
from pouch.embedded.cards.checkout import HostedPage
from pouch.embedded.cards.delivery import Deliveries
from pouch.embedded.cards.disputes import make_trouble
from pouch.embedded.cards.faults import Faults
from pouch.embedded.cards.idempotency import forget_old
from pouch.embedded.cards.place import Desk, Place
from pouch.embedded.cards.refunds import settle_refund
from pouch.embedded.cards.types import Session

POLL_S = 1.0

log = structlog.get_logger(__name__)


class CardProcessor:
    """Stripe's protocol with play money: mount `app`, and keep `run()` running."""

    def __init__(
        self, database: Database, place: Place, *, clock: Clock = system_clock, faults: Faults | None = None
    ) -> None:
        self.faults = faults or Faults()
        self._database = database
        self._place = place
        self._clock = clock
        self._news = asyncio.Event()
        self.deliveries = Deliveries(database, place, clock=clock, faults=self.faults)
        api = Api(database, place, clock=clock, faults=self.faults, changed=self._news.set)
        page = HostedPage(database, place, clock=clock, changed=self._news.set)
        self.app = Starlette(routes=[*api.routes(), *page.routes()], exception_handlers={PouchError: page.refuse})

    async def run(self) -> None:
        """Deliver events, and do what time brings, until cancelled. Safe in any number of processes."""
        async with self.deliveries, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep("deliver", self.deliveries.deliver_due, self._wait_for_news))
            tasks.create_task(self._keep("tend", self.tend, _pause))

    async def tend(self) -> None:
        """Do what time brings: sessions expire, debits and refunds settle, banks object, old keys are forgotten."""
        now = self._clock()
        async with self._database.transaction() as db:
            overdue, due = await store.overdue_sessions(db, now), await store.due_intents(db, now)
            refunded, troubled = await store.due_refunds(db, now), await store.troubled_charges(db, now)
            await forget_old(db, now)
        for session_id in overdue:
            async with self._database.transaction() as db:
                session = await store.lock(db, Session, session_id)
                if session is not None and session.status == "open":
                    await sessions.expire(Desk(db, now, self._place), session)
        for intent_id in due:
            async with self._database.transaction() as db:
                await sessions.settle(Desk(db, now, self._place), intent_id)
        for refund_id in refunded:
            async with self._database.transaction() as db:
                await settle_refund(Desk(db, now, self._place), refund_id)
        for charge_id in troubled:
            async with self._database.transaction() as db:
                await make_trouble(Desk(db, now, self._place), charge_id)
        if overdue or due or refunded or troubled:
            self._news.set()

    async def _keep(self, name: str, step: Callable[[], Awaitable[None]], pause: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except (psycopg.Error, PoolTimeout):
                # The database is away: everything waits in it, so nothing is lost by trying again.
                log.warning("cards.database_unavailable", loop=name)
                await _pause()
            await pause()

    async def _wait_for_news(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()


async def _pause() -> None:
    await asyncio.sleep(POLL_S)
