"""/agents/automations: runs that start by themselves."""

import re
from collections.abc import Callable, Sequence
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.agents import workers
from pouch.agents.asking import read_cap, read_minutes, read_ref
from pouch.agents.environments import find_environment, list_environments
from pouch.agents.kinds import profiles, read_kind
from pouch.agents.schedules import (
    WEEKDAYS,
    Schedule,
    add_schedule,
    find_schedule,
    list_schedules,
    remove_schedule,
    switch,
)
from pouch.agents.types import KINDS
from pouch.base.database import Connection, Database
from pouch.base.errors import InvalidInput, NotFound, PouchError
from pouch.base.ids import read_id
from pouch.base.languages import say
from pouch.catalog.types import Model
from pouch.identity.verification import need_verified
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.problems import problem_of

PATH = "/agents/automations"
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", re.ASCII)


class SchedulePages:
    """The automations of an organization."""

    def __init__(
        self,
        web: Web,
        database: Database,
        *,
        models: Callable[[], Sequence[Model]],
        check_address: Callable[[str, bool], None],
    ) -> None:
        self._web = web
        self._database = database
        self._models = models
        self._check_address = check_address

    def routes(self) -> list[Route]:
        """Where it is."""
        one = f"{PATH}/{{schedule}}"
        return [
            Route(PATH, self.list, methods=["GET"]),
            Route(PATH, self.add, methods=["POST"]),
            Route(f"{one}/switch", self.switch, methods=["POST"]),
            Route(f"{one}/delete", self.delete, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        """All of them, and the form that makes one."""
        return await self._page(request)

    async def add(self, request: Request) -> Response:
        """Make one. What could never start is refused here."""
        viewer = await self._web.signed_in(request)
        need_verified(viewer)
        form = await read_form(request)
        try:
            read_kind(form.get("agent", "coder"))
            read_cap(form.get("cap_usd", "").strip())
            read_minutes(form.get("minutes", "").strip())
            read_ref(form.get("branch", "").strip())
            self._check_address(form.get("repository", "").strip(), viewer.is_operator)
            weekday = _weekday(form.get("weekday", ""))
            async with self._database.transaction() as db:
                environment_id = read_id("env", form.get("environment", ""))
                if environment_id is not None:
                    await find_environment(db, viewer.organization_id, environment_id)
                await add_schedule(
                    db,
                    viewer.organization_id,
                    person_id=viewer.person_id,
                    name=form.get("name", ""),
                    fields=form | {"task": form.get("task", "").replace("\r\n", "\n")},
                    weekday=weekday,
                    minute=_minute(form.get("time", "")),
                    environment_id=environment_id,
                )
        except (InvalidInput, NotFound) as error:
            return await self._page(request, error, form)
        return RedirectResponse(PATH, status_code=303)

    async def switch(self, request: Request) -> Response:
        """Switch one on or off."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        async with self._database.transaction() as db:
            found = await self._find(db, viewer.organization_id, request)
            await switch(db, found, is_on=form.get("on") == "1")
        return RedirectResponse(PATH, status_code=303)

    async def delete(self, request: Request) -> Response:
        """Take one away."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            await remove_schedule(db, await self._find(db, viewer.organization_id, request))
        return RedirectResponse(PATH, status_code=303)

    async def _find(self, db: Connection, organization_id: UUID, request: Request) -> Schedule:
        schedule_id = read_id("sched", request.path_params["schedule"])
        if schedule_id is None:
            raise NotFound(say("There is no such automation."))
        return await find_schedule(db, organization_id, schedule_id)

    async def _page(
        self, request: Request, error: PouchError | None = None, typed: dict[str, str] | None = None
    ) -> Response:
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            found = await list_schedules(db, viewer.organization_id)
            environments = await list_environments(db, viewer.organization_id)
            defaults = await profiles(db, viewer.organization_id)
            engines = await workers.engines(db)
        problem = problem_of(error) if error else None
        return await self._web.page(
            request,
            "agents/automations.html",
            problem.status if problem else 200,
            schedules=found,
            environments=environments,
            kinds=KINDS,
            models=self._models(),
            engines=engines,
            profiles=defaults,
            weekdays=WEEKDAYS,
            typed=typed or {},
            field=error.field if isinstance(error, InvalidInput) else None,
            message=problem.text if problem else "",
        )


def _weekday(text: str) -> int | None:
    if text in {"", "day"}:
        return None
    if text not in WEEKDAYS:
        raise InvalidInput(say("Choose a day."), field="weekday")
    return WEEKDAYS.index(text)


def _minute(text: str) -> int:
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise InvalidInput(say("Write the time as 06:30, in UTC."), field="time")
    return int(found[1]) * 60 + int(found[2])
