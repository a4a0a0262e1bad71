"""/admin/people: who is here, and what they have."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.admin.desk import Desk
from pouch.base.database import Database
from pouch.base.ids import show_id
from pouch.identity.people import search_people
from pouch.ledger.accounts import balances_of


class PeoplePages:
    """A look-up of people and organizations with their balances."""

    def __init__(self, pages: Desk, database: Database) -> None:
        self._pages = pages
        self._database = database

    def routes(self) -> list[Route]:
        """Where it is."""
        return [Route("/admin/people", self.search)]

    async def search(self, request: Request) -> Response:
        """The newest, or those that fit."""
        await self._pages.operator(request)
        text = request.query_params.get("q", "")[:200].replace("\x00", "").strip()
        async with self._database.transaction() as db:
            found = await search_people(db, text)
            balances = await balances_of(db, [each.organization_id for each in found])
        return await self._pages.page(
            request, "admin/people.html", people=found, balances=balances, text=text, show_id=show_id
        )
