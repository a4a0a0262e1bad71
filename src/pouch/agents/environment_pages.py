"""/agents/environments: what runs find beside their repository. Secrets are typed once and never shown."""

from collections.abc import Collection
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.agents.deploy_keys import confirm_host, find_key, forget_host, list_hosts, make_key, remove_key
from pouch.agents.environments import (
    Environment,
    find_environment,
    list_environments,
    remove_environment,
    remove_value,
    save_environment,
    set_value,
)
from pouch.base.database import Connection, Database
from pouch.base.errors import Conflict, InvalidInput, NotFound, PouchError
from pouch.base.ids import read_id
from pouch.base.languages import say
from pouch.base.sealing import Seal
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.problems import problem_of

PATH = "/agents/environments"


class EnvironmentPages:
    """The environments of an organization."""

    def __init__(self, web: Web, database: Database, seal: Seal, *, tools: Collection[str] = ()) -> None:
        """`tools` are the versions that the operator has."""
        self._tools = sorted(tools)
        self._web = web
        self._database = database
        self._seal = seal

    def routes(self) -> list[Route]:
        """Where it is."""
        one = f"{PATH}/{{environment}}"
        return [
            Route(PATH, self.list, methods=["GET"]),
            Route(PATH, self.add, methods=["POST"]),
            Route(one, self.show, methods=["GET"]),
            Route(one, self.save, methods=["POST"]),
            Route(f"{one}/values", self.set_value, methods=["POST"]),
            Route(f"{one}/key", self.change_key, methods=["POST"]),
            Route(f"{one}/hosts", self.change_host, methods=["POST"]),
            Route(f"{one}/delete", self.delete, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        """All of them, and the form that makes one."""
        return await self._list(request)

    async def add(self, request: Request) -> Response:
        """Make one."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        try:
            async with self._database.transaction() as db:
                made = await save_environment(
                    db,
                    viewer.organization_id,
                    environment_id=None,
                    name=form.get("name", ""),
                    commands="",
                    hosts="",
                )
                found = await find_environment(db, viewer.organization_id, made)
        except (InvalidInput, Conflict) as error:
            return await self._list(request, error, form.get("name", ""))
        return RedirectResponse(f"{PATH}/{found.shown_id}", status_code=303)

    async def show(self, request: Request) -> Response:
        """One of them."""
        return await self._one(request)

    async def save(self, request: Request) -> Response:
        """Change its name, commands and hosts."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        try:
            async with self._database.transaction() as db:
                found = await self._find(db, viewer.organization_id, request)
                await save_environment(
                    db,
                    viewer.organization_id,
                    environment_id=found.id,
                    name=form.get("name", found.name),
                    commands=form.get("commands", "").replace("\r\n", "\n"),
                    hosts=form.get("hosts", ""),
                    tools=form.get("tools", ""),
                    offered=self._tools,
                )
        except (InvalidInput, Conflict) as error:
            return await self._one(request, error, form)
        return self._back(request)

    async def set_value(self, request: Request) -> Response:
        """Set a variable or a secret, or remove one."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        name = form.get("value_name", "").strip()
        try:
            async with self._database.transaction() as db:
                found = await self._find(db, viewer.organization_id, request)
                if "remove" in form:
                    await remove_value(db, found, form["remove"])
                else:
                    text = form.get("value", "").replace("\r\n", "\n")
                    await set_value(db, self._seal, found, name, form.get("value_kind", "variable"), text)
        except InvalidInput as error:
            return await self._one(request, error, {"value_name": name, "value_kind": form.get("value_kind", "")})
        return self._back(request)

    async def change_key(self, request: Request) -> Response:
        """Make a deploy key, in place of the one before, or forget it."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        async with self._database.transaction() as db:
            found = await self._find(db, viewer.organization_id, request)
            if "remove" in form:
                await remove_key(db, found)
            else:
                await make_key(db, self._seal, found)
        return self._back(request)

    async def change_host(self, request: Request) -> Response:
        """Confirm what a host showed, or forget it."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        async with self._database.transaction() as db:
            found = await self._find(db, viewer.organization_id, request)
            if "remove" in form:
                await forget_host(db, found, form["remove"])
            else:
                await confirm_host(db, found, form.get("confirm", ""))
        return self._back(request)

    async def delete(self, request: Request) -> Response:
        """Take it away, with its secrets."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            await remove_environment(db, await self._find(db, viewer.organization_id, request))
        return RedirectResponse(PATH, status_code=303)

    async def _find(self, db: Connection, organization_id: UUID, request: Request) -> Environment:
        environment_id = read_id("env", request.path_params["environment"])
        if environment_id is None:
            raise NotFound(say("There is no such environment."))
        return await find_environment(db, organization_id, environment_id)

    def _back(self, request: Request) -> Response:
        return RedirectResponse(f"{PATH}/{request.path_params['environment']}", status_code=303)

    async def _list(self, request: Request, error: PouchError | None = None, name: str = "") -> Response:
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            found = await list_environments(db, viewer.organization_id)
        problem = problem_of(error) if error else None
        return await self._web.page(
            request,
            "agents/environments.html",
            problem.status if problem else 200,
            environments=found,
            name=name,
            message=problem.text if problem else "",
        )

    async def _one(
        self, request: Request, error: PouchError | None = None, typed: dict[str, str] | None = None
    ) -> Response:
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            found = await self._find(db, viewer.organization_id, request)
            key, hosts = await find_key(db, found.id), await list_hosts(db, found.id)
        problem = problem_of(error) if error else None
        return await self._web.page(
            request,
            "agents/environment.html",
            problem.status if problem else 200,
            environment=found,
            offered=self._tools,
            key=key,
            hosts=hosts,
            typed=typed or {},
            message=problem.text if problem else "",
        )
