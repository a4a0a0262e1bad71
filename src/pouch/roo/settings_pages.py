"""/tasks/settings: whether and how long tasks are kept; /organizations/{organization}/editors: what owners decide."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from pouch.base.database import Database
from pouch.base.errors import InvalidInput, NotAllowed, NotFound, PouchError
from pouch.base.ids import read_id, show_id
from pouch.base.languages import say
from pouch.identity.profiles import Membership, memberships_of
from pouch.identity.types import PersonId
from pouch.roo.allowed import read_allowed, write_allowed
from pouch.roo.settings import (
    KEEP_DAYS,
    SHARE_DAYS,
    OrganizationSettings,
    change_organization_settings,
    change_person_settings,
    organization_settings,
    person_settings,
)
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.problems import problem_of


class SettingsPages:
    """Both pages."""

    def __init__(self, web: Web, database: Database) -> None:
        self._web = web
        self._database = database

    def routes(self) -> list[BaseRoute]:
        """The routes of these pages."""
        return [
            Route("/tasks/settings", self.show, methods=["GET"]),
            Route("/tasks/settings", self.change, methods=["POST"]),
            Route("/organizations/{organization}/editors", self.show_organization, methods=["GET"]),
            Route("/organizations/{organization}/editors", self.change_organization, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The person's own settings, and the way to those of organizations they own."""
        return await self._draw(request)

    async def change(self, request: Request) -> Response:
        """Change the person's own settings."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        try:
            days = form.get("keep_days", "")
            if days not in {"", *map(str, KEEP_DAYS)}:
                raise InvalidInput(say("Choose how long tasks are kept."), field="keep_days")
            async with self._database.transaction() as db:
                await change_person_settings(
                    db,
                    PersonId(viewer.person_id),
                    version=_version(form),
                    keeps_tasks=form.get("keeps_tasks") == "on",
                    keep_days=int(days) if days else None,
                    changes_days=True,
                )
        except PouchError as error:
            return await self._draw(request, error)
        return RedirectResponse("/tasks/settings?done=saved", status_code=303)

    async def show_organization(self, request: Request) -> Response:
        """What the owners of an organization decided."""
        return await self._draw_organization(request, await self._membership(request))

    async def change_organization(self, request: Request) -> Response:
        """Change it. Owners only."""
        membership = await self._membership(request)
        if membership.role != "owner":
            raise NotAllowed(say("Only the owners of an organization change this."))
        form = await read_form(request)
        try:
            version, wanted = _version(form), _wanted(form)
            async with self._database.transaction() as db:
                await change_organization_settings(db, membership.organization_id, wanted, version=version)
        except PouchError as error:
            return await self._draw_organization(request, membership, error, form)
        place = f"/organizations/{show_id('org', membership.organization_id)}/editors?done=saved"
        return RedirectResponse(place, status_code=303)

    async def _draw(self, request: Request, error: PouchError | None = None) -> Response:
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            settings = await person_settings(db, PersonId(viewer.person_id))
            memberships = await memberships_of(db, PersonId(viewer.person_id))
        return await self._web.page(
            request,
            "roo/task_settings.html",
            error.status if error else 200,
            settings=settings,
            keep_days=KEEP_DAYS,
            organizations=[each for each in memberships if not each.is_personal],
            show_id=show_id,
            done="done" in request.query_params,
            message=problem_of(error).text if error else None,
        )

    async def _draw_organization(
        self,
        request: Request,
        membership: Membership,
        error: PouchError | None = None,
        typed: Mapping[str, str] | None = None,
    ) -> Response:
        async with self._database.transaction() as db:
            settings = await organization_settings(db, membership.organization_id, is_personal=False)
        return await self._web.page(
            request,
            "roo/organization_settings.html",
            error.status if error else 200,
            membership=membership,
            settings=settings,
            allowed=typed.get("allowed", "") if typed else write_allowed(settings.allowed),
            hidden=typed.get("hidden_mcps", "") if typed else "\n".join(settings.hidden_mcps),
            share_days=SHARE_DAYS,
            show_id=show_id,
            done="done" in request.query_params,
            message=problem_of(error).text if error else None,
        )

    async def _membership(self, request: Request) -> Membership:
        viewer = await self._web.signed_in(request)
        organization_id = read_id("org", request.path_params["organization"])
        async with self._database.transaction() as db:
            memberships = await memberships_of(db, PersonId(viewer.person_id))
        for each in memberships:
            if each.organization_id == organization_id and not each.is_personal:
                return each
        raise NotFound(say("There is no such organization."))


def _wanted(form: Mapping[str, str]) -> OrganizationSettings:
    if form.get("share_days") not in {*map(str, SHARE_DAYS)}:
        raise InvalidInput(say("Choose how long links work."), field="share_days")
    hidden = [line.strip() for line in form.get("hidden_mcps", "").splitlines() if line.strip()]
    if len(hidden) > 100 or any(len(name) > 100 or not name.isprintable() for name in hidden):
        raise InvalidInput(say("Write one name of a server on each line, 100 at most."), field="hidden_mcps")
    return OrganizationSettings(
        records_tasks=form.get("records_tasks") == "on",
        members_see_tasks=form.get("members_see_tasks") == "on",
        shares_tasks=form.get("shares_tasks") == "on",
        shares_publicly=form.get("shares_publicly") == "on",
        share_days=int(form["share_days"]),
        allows_all=form.get("allows_all") == "on",
        allowed=read_allowed(form.get("allowed", "")),
        hidden_mcps=tuple(hidden),
        hides_marketplace=form.get("hides_marketplace") == "on",
    )


def _version(form: Mapping[str, str]) -> int | None:
    """The version that the page was drawn of. A form without one does not mind what it replaces."""
    text = form.get("version")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidInput(say("Load this page again, then change it."), field="version")
    return int(text)
