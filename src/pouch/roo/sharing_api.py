"""POST /api/extension/share: the person presses Share in the editor and gets a link."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pouch.base.database import Database
from pouch.base.errors import InvalidInput
from pouch.base.ids import show_id
from pouch.base.signed_ids import SignedIds
from pouch.identity.token_ring import TokenRing
from pouch.roo.bearer import CLOUD_API, holder
from pouch.roo.bodies import read_json
from pouch.roo.cloud_api import answer
from pouch.roo.reported import read_task_id
from pouch.roo.settings import organization_settings
from pouch.roo.shares import Visibility, share_task
from pouch.roo.tasks import find_own

# The editor looks for these words to choose its own.
NOT_ENABLED = "Task sharing is not enabled for this organization."
NOT_PUBLIC = "Public task sharing is not enabled for this organization."


class SharingApi:
    """The endpoint."""

    def __init__(self, database: Database, ring: TokenRing, links: SignedIds, *, site_url: str) -> None:
        self._database = database
        self._ring = ring
        self._links = links
        self._site_url = site_url

    def routes(self) -> list[BaseRoute]:
        """The route."""
        return [Route("/api/extension/share", self.share, methods=["POST"])]

    async def share(self, request: Request) -> Response:
        """Share one of the person's tasks. 404 when it is not kept here: the editor then sends it, and asks again."""
        who = await holder(request, self._ring, CLOUD_API)
        body = await read_json(request)
        task_id, visibility = read_task_id(body.get("taskId")), read_visibility(body.get("visibility"))
        async with self._database.transaction() as db:
            settings = await organization_settings(db, who.organization_id, is_personal=who.is_personal)
            if not settings.shares_tasks:
                return answer({"success": False, "error": NOT_ENABLED})
            if visibility == "public" and not settings.shares_publicly:
                return answer({"success": False, "error": NOT_PUBLIC})
            task = await find_own(db, who.person_id, task_id)
            own = await organization_settings(db, task.organization_id, is_personal=task.is_personal)
            if not own.lets(visibility):
                return answer({"success": False, "error": NOT_ENABLED})
            share, is_new = await share_task(db, task.id, visibility, days=own.share_days)
        return answer(
            {
                "success": True,
                "shareUrl": f"{self._site_url}/shared/{self._links.write(share.id)}",
                "isNewShare": is_new,
                "manageUrl": f"{self._site_url}/tasks/{show_id('task', task.id)}",
            }
        )


def read_visibility(value: object) -> Visibility:
    """For whom a link is. Raises InvalidInput."""
    match value:
        case "organization":
            return "organization"
        case "public":
            return "public"
        case _:
            raise InvalidInput("visibility must be organization or public.", field="visibility")
