"""Signing an editor in, in the browser: who asks, on behalf of which organization, and the way back to the editor."""

from collections.abc import Sequence
from typing import Protocol

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from pouch.base.errors import InvalidInput, NotFound
from pouch.base.ids import read_id, show_id
from pouch.base.languages import say
from pouch.catalog.types import Model
from pouch.identity.profiles import memberships_of
from pouch.identity.tickets import LIFETIME_S, find_ticket, give_ticket
from pouch.identity.types import OrganizationId, PersonId
from pouch.identity.verification import need_verified
from pouch.roo.callbacks import EditorCallback, read_editor_callback, with_code
from pouch.roo.clerk import Desk
from pouch.roo.settings import onlookers_of
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.viewer import Viewer


class Models(Protocol):
    """The catalog, as far as a person chooses a model from it."""

    @property
    def offered(self) -> Sequence[Model]:
        """What people are shown of what is on sale."""

    def find(self, model_id: str) -> Model | None:
        """One of them."""


class EditorPages:
    """/extension/sign-in, /extension/provider-sign-up and /l/{slug}, and the page that leads back to the editor."""

    def __init__(self, web: Web, desk: Desk, models: Models) -> None:
        self._web = web
        self._desk = desk
        self._database = desk.database
        self._models = models

    def routes(self) -> list[BaseRoute]:
        """The routes of these pages."""
        return [
            Route("/extension/sign-in", self.show, methods=["GET"]),
            Route("/extension/sign-in", self.allow, methods=["POST"]),
            Route("/extension/sign-in/{ticket}", self.show_way_back, methods=["GET"]),
            Route("/extension/provider-sign-up", self.show_with_models, methods=["GET"]),
            Route("/l/{slug}", self.show_from_landing, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """Ask whether this editor may come in."""
        return await self._ask(request, models=())

    async def show_with_models(self, request: Request) -> Response:
        """Ask the same, and which model the editor begins with."""
        return await self._ask(request, models=self._models.offered)

    async def show_from_landing(self, request: Request) -> Response:
        """The same from a landing page. Without an editor that asks there is nothing here."""
        if "auth_redirect" not in request.query_params:
            raise NotFound(say("There is no such page."))
        return await self._ask(request, models=())

    async def allow(self, request: Request) -> Response:
        """Give the editor its ticket."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        callback = read_editor_callback(form.get("auth_redirect", ""), form.get("state", ""))
        need_verified(viewer)
        organization_id = read_id("org", form.get("organization", ""))
        if organization_id is None:
            raise InvalidInput(say("Choose an account."), field="organization")
        model = form.get("provider_model") or None
        if model is not None and self._models.find(model) is None:
            raise InvalidInput(say("There is no such model any more. Choose another one."), field="provider_model")
        async with self._database.transaction() as db:
            own = next(each for each in await memberships_of(db, PersonId(viewer.person_id)) if each.is_personal)
            shown = None if own.organization_id == organization_id else show_id("org", organization_id)
            ticket_id = await give_ticket(
                db,
                viewer,
                OrganizationId(organization_id),
                state=callback.state,
                name=callback.editor,
                callback_url=callback.url(organization_id=shown, model=model),
            )
        return RedirectResponse(f"/extension/sign-in/{show_id('tick', ticket_id)}", status_code=303)

    async def show_way_back(self, request: Request) -> Response:
        """The address that the editor opens, to press or to copy; once it came, that it is done."""
        viewer = await self._web.signed_in(request)
        ticket_id = read_id("tick", request.path_params["ticket"])
        if ticket_id is None:
            raise NotFound(say("There is no such sign-in."))
        async with self._database.transaction() as db:
            ticket = await find_ticket(db, viewer, ticket_id)
        callback_url = with_code(ticket.callback_url, self._desk.tickets.write(ticket.id)) if ticket.is_open else None
        response = await self._web.page(
            request, "roo/way_back.html", ticket=ticket, callback_url=callback_url, lifetime_s=LIFETIME_S
        )
        response.headers["cache-control"] = "no-store"
        return response

    async def _ask(self, request: Request, *, models: Sequence[Model]) -> Response:
        query = request.query_params
        if not {"state", "auth_redirect"} & query.keys():
            # Somebody who typed the address: they need to know how to begin.
            return RedirectResponse("/connect", status_code=303)
        callback = read_editor_callback(query.get("auth_redirect", ""), query.get("state", ""))
        viewer = await self._web.signed_in(request)
        return await self._draw(request, viewer, callback, models)

    async def _draw(
        self, request: Request, viewer: Viewer, callback: EditorCallback, models: Sequence[Model]
    ) -> Response:
        async with self._database.transaction() as db:
            memberships = await memberships_of(db, PersonId(viewer.person_id))
            onlookers = await onlookers_of(db, PersonId(viewer.person_id))
        return await self._web.page(
            request,
            "roo/editor_sign_in.html",
            callback=callback,
            memberships=memberships,
            onlookers=[organization_id for organization_id, _ in onlookers],
            models=models,
            show_id=show_id,
        )
