"""/shared/{token}: a task that somebody shared. Nobody finds it without the link, and no search engine keeps it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pouch.base.database import Database
from pouch.base.errors import NotFound
from pouch.base.languages import say
from pouch.base.signed_ids import SignedIds
from pouch.identity.profiles import memberships_of
from pouch.identity.types import PersonId
from pouch.roo.conversation import lines_of
from pouch.roo.shares import find_shared
from pouch.roo.tasks import Reader, find_task, messages_of
from pouch.web.pages import Web


class SharedPage:
    """The page."""

    def __init__(self, web: Web, database: Database, links: SignedIds) -> None:
        web.templates.filters["number"] = "{:,}".format
        self._web = web
        self._database = database
        self._links = links

    def routes(self) -> list[BaseRoute]:
        """The route."""
        return [Route("/shared/{token}", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The task as it is now, for whoever the link is for."""
        share_id = self._links.read(request.path_params["token"])
        if share_id is None:
            raise NotFound(say("This link has ended, or was never here."))
        async with self._database.transaction() as db:
            shared = await find_shared(db, share_id)
        if shared.share.visibility == "organization":
            viewer = await self._web.signed_in(request)
            async with self._database.transaction() as db:
                belongs = await memberships_of(db, PersonId(viewer.person_id))
            if shared.organization_id not in {each.organization_id for each in belongs}:
                raise NotFound(say("This link has ended, or was never here."))
        async with self._database.transaction() as db:
            task = await find_task(db, Reader(shared.person_id), shared.share.task_id)
            messages = await messages_of(db, task.id)
        response = await self._web.page(
            request, "roo/shared.html", task=task, lines=lines_of(messages), share=shared.share
        )
        response.headers["x-robots-tag"] = "noindex, nofollow, noarchive"
        response.headers["cache-control"] = "private, no-store"
        response.headers["referrer-policy"] = "no-referrer"
        return response
