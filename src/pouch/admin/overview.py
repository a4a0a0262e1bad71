"""/admin: what needs a person, and how things are."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.admin.desk import Desk
from pouch.admin.reconciliation import headline
from pouch.base.clock import Clock, system_clock
from pouch.base.database import Database
from pouch.ledger.accounts import totals
from pouch.mail.outbox import undelivered
from pouch.oversight.requests import count_waiting
from pouch.payments import checks, desk


class Overview:
    """The first page of the desk."""

    def __init__(self, pages: Desk, database: Database, *, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._pages = pages
        self._database = database

    def routes(self) -> list[Route]:
        """Where it is."""
        return [Route("/admin", self.show)]

    async def show(self, request: Request) -> Response:
        """Counts, each a link to what it counts."""
        await self._pages.operator(request)
        async with self._database.transaction() as db:
            counts = await desk.counts(db)
            letters = await undelivered(db)
            money = await totals(db)
            waiting = await count_waiting(db)
            last, still = await checks.last_check(db), await checks.open_differences(db)
            is_overdue = await checks.is_overdue(db, self._clock())
        return await self._pages.page(
            request,
            "admin/overview.html",
            counts=counts,
            undelivered=len(letters),
            waiting=waiting,
            money=money,
            differences=still,
            is_overdue=is_overdue,
            checked=headline(last, still, self._clock()),
        )
