"""/tasks: what a person's editors did, to read, search, share and delete."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from pouch.base.database import Connection, Database
from pouch.base.errors import NotAllowed, NotFound
from pouch.base.ids import read_id, show_id
from pouch.base.languages import say
from pouch.base.signed_ids import SignedIds
from pouch.identity.profiles import memberships_of
from pouch.identity.types import PersonId
from pouch.roo.conversation import lines_of
from pouch.roo.settings import onlookers_of, organization_settings, person_settings
from pouch.roo.shares import end_share, share_task, shares_of
from pouch.roo.sharing_api import NOT_ENABLED, NOT_PUBLIC, read_visibility
from pouch.roo.tasks import PAGE, Reader, Task, delete_task, delete_tasks, find_own, find_task, list_tasks, messages_of
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.viewer import Viewer

QUERY_LENGTH_MAX = 200
DONE = {
    "deleted": "The task is deleted.",
    "emptied": "All your tasks are deleted.",
    "shared": "The link is ready. It is below.",
    "unshared": "The link opens nothing any more.",
}


class TaskPages:
    """The list, a task, and the acts on both. A person acts on their own; others of an organization may be let read."""

    def __init__(self, web: Web, database: Database, links: SignedIds) -> None:
        web.templates.filters["number"] = "{:,}".format
        self._web = web
        self._database = database
        self._links = links

    def routes(self) -> list[BaseRoute]:
        """The routes of these pages."""
        return [
            Route("/tasks", self.list, methods=["GET"]),
            Route("/tasks/delete", self.ask_delete_all, methods=["GET"]),
            Route("/tasks/delete", self.delete_all, methods=["POST"]),
            Route("/tasks/{task}", self.show, methods=["GET"]),
            Route("/tasks/{task}/delete", self.ask_delete, methods=["GET"]),
            Route("/tasks/{task}/delete", self.delete, methods=["POST"]),
            Route("/tasks/{task}/shares", self.share, methods=["POST"]),
            Route("/tasks/{task}/shares/{share}/end", self.unshare, methods=["POST"]),
            Route("/task/{client_task}", self.find, methods=["GET"]),
        ]

    async def list(self, request: Request) -> Response:
        """The tasks, newest first, or those that hold some words."""
        viewer = await self._web.signed_in(request)
        query = request.query_params.get("q", "").replace("\x00", "").strip()[:QUERY_LENGTH_MAX]
        before = read_id("task", request.query_params.get("before", ""))
        async with self._database.transaction() as db:
            tasks = await list_tasks(db, await reader_of(db, viewer), query=query, before=before)
            settings = await person_settings(db, PersonId(viewer.person_id))
            onlookers = await onlookers_of(db, PersonId(viewer.person_id))
        return await self._web.page(
            request,
            "roo/tasks.html",
            tasks=tasks[:PAGE],
            has_more=len(tasks) > PAGE,
            query=query,
            is_first=before is None,
            settings=settings,
            onlookers=[name for _, name in onlookers],
            show_id=show_id,
            done=DONE.get(request.query_params.get("done", "")),
        )

    async def show(self, request: Request) -> Response:
        """A task with all its messages, and its links."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            task = await self._task(db, request, viewer)
            is_own = task.person_id == viewer.person_id
            messages = await messages_of(db, task.id)
            shares = await shares_of(db, task.id) if is_own else []
            settings = await organization_settings(db, task.organization_id, is_personal=task.is_personal)
        return await self._web.page(
            request,
            "roo/task.html",
            task=task,
            lines=lines_of(messages),
            is_own=is_own,
            shares=[(share, self._url(share.id)) for share in shares],
            settings=settings,
            show_id=show_id,
            done=DONE.get(request.query_params.get("done", "")),
        )

    async def ask_delete(self, request: Request) -> Response:
        """Ask before a task is deleted."""
        return await self._web.page(request, "roo/delete_tasks.html", task=await self._own(request), show_id=show_id)

    async def delete(self, request: Request) -> Response:
        """Delete a task."""
        task = await self._own(request)
        async with self._database.transaction() as db:
            await delete_task(db, task.person_id, task.id)
        return RedirectResponse("/tasks?done=deleted", status_code=303)

    async def ask_delete_all(self, request: Request) -> Response:
        """Ask before all of them are deleted."""
        await self._web.signed_in(request)
        return await self._web.page(request, "roo/delete_tasks.html", task=None, show_id=show_id)

    async def delete_all(self, request: Request) -> Response:
        """Delete all tasks of the person."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            await delete_tasks(db, PersonId(viewer.person_id))
        return RedirectResponse("/tasks?done=emptied", status_code=303)

    async def share(self, request: Request) -> Response:
        """Make a link to a task."""
        task = await self._own(request)
        visibility = read_visibility((await read_form(request)).get("visibility"))
        async with self._database.transaction() as db:
            settings = await organization_settings(db, task.organization_id, is_personal=task.is_personal)
            if not settings.shares_tasks:
                raise NotAllowed(NOT_ENABLED)
            if visibility == "public" and not settings.shares_publicly:
                raise NotAllowed(NOT_PUBLIC)
            await share_task(db, task.id, visibility, days=settings.share_days)
        return RedirectResponse(f"/tasks/{show_id('task', task.id)}?done=shared", status_code=303)

    async def unshare(self, request: Request) -> Response:
        """End a link to a task."""
        task = await self._own(request)
        share_id = read_id("shr", request.path_params["share"])
        if share_id is None:
            raise NotFound(say("There is no such link."))
        async with self._database.transaction() as db:
            await end_share(db, task.person_id, share_id)
        return RedirectResponse(f"/tasks/{show_id('task', task.id)}?done=unshared", status_code=303)

    async def find(self, request: Request) -> Response:
        """The way to a task by the editor's own name for it, as older editors link to it."""
        viewer = await self._web.signed_in(request)
        name = request.path_params["client_task"]
        if "\x00" in name:
            raise NotFound(say("There is no such task."))
        async with self._database.transaction() as db:
            task = await find_own(db, PersonId(viewer.person_id), name)
        return RedirectResponse(f"/tasks/{show_id('task', task.id)}", status_code=303)

    async def _own(self, request: Request) -> Task:
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            return await find_task(db, Reader(PersonId(viewer.person_id)), _task_id(request))

    async def _task(self, db: Connection, request: Request, viewer: Viewer) -> Task:
        return await find_task(db, await reader_of(db, viewer), _task_id(request))

    def _url(self, share_id: UUID) -> str:
        return f"{self._web.settings.url}/shared/{self._links.write(share_id)}"


async def reader_of(db: Connection, viewer: Viewer) -> Reader:
    """What a person may read: their own, and where the owners of an organization let members see one another's."""
    person_id = PersonId(viewer.person_id)
    shared = [each for each in await memberships_of(db, person_id) if not each.is_personal]
    opened = [
        each.organization_id
        for each in shared
        if (await organization_settings(db, each.organization_id, is_personal=False)).members_see_tasks
    ]
    return Reader(person_id, tuple(opened))


def _task_id(request: Request) -> UUID:
    task_id = read_id("task", request.path_params["task"])
    if task_id is None:
        raise NotFound(say("There is no such task."))
    return task_id
