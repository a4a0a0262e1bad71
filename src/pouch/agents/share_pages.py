"""/shared/runs/{token}: a run as whoever has its link sees it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.agents.artifacts import newest, read_whole
from pouch.agents.diff import read_patch
from pouch.agents.events import last_events
from pouch.agents.sharing import shared_run
from pouch.agents.timeline import items_of
from pouch.base.database import Database
from pouch.web.pages import Web

EVENTS_SHOWN = 500
PATCH_BYTES_MAX = 512 * 1024


class SharePages:
    """Shows one run and nothing else of its organization: neither costs nor names."""

    def __init__(self, web: Web, database: Database) -> None:
        self._web = web
        self._database = database

    def routes(self) -> list[Route]:
        """Where it is."""
        return [Route("/shared/runs/{token}", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The run's timeline and diff."""
        async with self._database.transaction() as db:
            run = await shared_run(db, request.path_params["token"])
            events = await last_events(db, run.id, limit=EVENTS_SHOWN)
            patch = await newest(db, run.id, "patch")
        text = (await read_whole(self._database, patch, PATCH_BYTES_MAX)).decode("utf-8", "replace") if patch else ""
        files, is_cut = read_patch(text)
        page = await self._web.page(
            request, "agents/shared.html", run=run, items=items_of(events), files=files, is_cut=is_cut
        )
        # The address is the secret: no search engine keeps it, and no other site is told of it.
        page.headers["x-robots-tag"] = "noindex"
        page.headers["referrer-policy"] = "no-referrer"
        return page
