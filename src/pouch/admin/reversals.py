"""/admin/refunds and /admin/disputes: all that went back, and what the bank must be told."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.admin.desk import Desk
from pouch.base.database import Database
from pouch.base.ids import show_id
from pouch.payments import disputes, refunds
from pouch.payments.words import REFUND_STATES, dispute_words


class ReversalPages:
    """The two lists."""

    def __init__(self, pages: Desk, database: Database) -> None:
        self._pages = pages
        self._database = database

    def routes(self) -> list[Route]:
        """Where they are."""
        return [Route("/admin/refunds", self.refunds), Route("/admin/disputes", self.disputes)]

    async def refunds(self, request: Request) -> Response:
        """Every refund, newest first."""
        await self._pages.operator(request)
        async with self._database.transaction() as db:
            found = await refunds.newest(db)
        return await self._pages.page(
            request, "admin/refunds.html", refunds=found, states=REFUND_STATES, show_id=show_id
        )

    async def disputes(self, request: Request) -> Response:
        """Every dispute, the open ones first, with the date by which the bank wants an answer."""
        await self._pages.operator(request)
        async with self._database.transaction() as db:
            found = await disputes.newest(db)
        return await self._pages.page(
            request, "admin/disputes.html", disputes=found, words=dispute_words, show_id=show_id
        )
