"""/admin/agents: which processes run agents, what their machines can do, and runs whose worker is silent."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.admin.desk import Desk
from pouch.agents.workers import list_silent, list_workers
from pouch.base.database import Database


class AgentDesk:
    """What an operator needs to see when runs do not start or do not end. What a run is about is not shown."""

    def __init__(self, pages: Desk, database: Database) -> None:
        self._pages = pages
        self._database = database

    def routes(self) -> list[Route]:
        """Where it is."""
        return [Route("/admin/agents", self.show)]

    async def show(self, request: Request) -> Response:
        """Workers and stuck runs."""
        await self._pages.operator(request)
        async with self._database.transaction() as db:
            found = await list_workers(db)
            silent = await list_silent(db)
        return await self._pages.page(request, "admin/agents.html", workers=found, silent=silent)
