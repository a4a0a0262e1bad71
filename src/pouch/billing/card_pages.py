"""Saved cards: add one without paying, make one the default, remove one."""

from collections.abc import Mapping
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.base.database import Database
from pouch.base.errors import NotFound, PouchError
from pouch.base.ids import read_id
from pouch.base.languages import say
from pouch.billing.recent import Recent, ask_password
from pouch.identity.throttles import client_network
from pouch.identity.verification import need_verified
from pouch.payments.card_rows import get_card
from pouch.payments.cards import Cards
from pouch.payments.errors import NoSuchCard
from pouch.web.forms import read_form
from pouch.web.pages import Web

RELOAD_S = 3


class CardPages:
    """Whose cards they are follows from the session alone. Each change takes a recent sign-in."""

    def __init__(self, web: Web, database: Database, cards: Cards, recent: Recent) -> None:
        self._web = web
        self._database = database
        self._cards = cards
        self._recent = recent

    def routes(self) -> list[Route]:
        """Where the pages are."""
        return [
            Route("/billing/cards/add", self.show_add, methods=["GET"]),
            Route("/billing/cards/add", self.add, methods=["POST"]),
            Route("/billing/cards/added/{id}", self.added, methods=["GET"]),
            Route("/billing/cards/{id}/default", self.make_default, methods=["POST"]),
            Route("/billing/cards/{id}/remove", self.show_remove, methods=["GET"]),
            Route("/billing/cards/{id}/remove", self.remove, methods=["POST"]),
        ]

    async def show_add(self, request: Request) -> Response:
        """What saving a card means, and the button that leads to the processor's page."""
        viewer = await self._web.signed_in(request)
        if ask := await ask_password(self._recent, viewer, "/billing/cards/add"):
            return ask
        return await self._add_form(request, {}, None)

    async def add(self, request: Request) -> Response:
        """Send the browser to the processor's page. A form that is sent twice is one visit."""
        viewer = await self._web.signed_in(request)
        need_verified(viewer)
        form = await read_form(request)
        if ask := await ask_password(self._recent, viewer, "/billing/cards/add"):
            return ask
        try:
            setup = await self._cards.start(
                organization_id=viewer.organization_id,
                person_id=viewer.person_id,
                email=viewer.email,
                attempt=f"card:{_attempt(form)}",
                network=client_network(request.client.host if request.client else ""),
            )
        except PouchError as error:
            return await self._add_form(request, form, error)
        return RedirectResponse(self._cards.url_of(setup), status_code=303)

    async def added(self, request: Request) -> Response:
        """Where the processor sends the browser back to."""
        viewer = await self._web.signed_in(request)
        setup_id = read_id("set", request.path_params["id"])
        setup = await self._cards.visit(viewer.organization_id, setup_id) if setup_id else None
        if setup is None:
            raise NotFound(say("There is no such page."))
        waits = setup.state in {"created", "open"} and "from" in request.query_params
        return await self._web.page(
            request, "billing/card_added.html", setup=setup, reload_s=RELOAD_S if waits else None
        )

    async def make_default(self, request: Request) -> Response:
        """Charge this one from now on."""
        viewer = await self._web.signed_in(request)
        card_id = self._id(request)
        await self._find(viewer.organization_id, card_id)
        if ask := await ask_password(self._recent, viewer, "/billing#cards"):
            return ask
        await self._cards.make_default(viewer.organization_id, card_id)
        return RedirectResponse("/billing#cards", status_code=303)

    async def show_remove(self, request: Request) -> Response:
        """Ask once more."""
        viewer = await self._web.signed_in(request)
        card_id = self._id(request)
        await self._find(viewer.organization_id, card_id)
        if ask := await ask_password(self._recent, viewer, request.url.path):
            return ask
        async with self._database.transaction() as db:
            card = await get_card(db, viewer.organization_id, card_id)
        return await self._web.page(request, "billing/remove_card.html", card=card)

    async def remove(self, request: Request) -> Response:
        """Remove it here and at the processor."""
        viewer = await self._web.signed_in(request)
        card_id = self._id(request)
        await self._find(viewer.organization_id, card_id)
        if ask := await ask_password(self._recent, viewer, request.url.path):
            return ask
        await self._cards.remove(viewer.organization_id, card_id)
        return RedirectResponse("/billing#cards", status_code=303)

    async def _find(self, organization_id: UUID, card_id: UUID) -> None:
        async with self._database.transaction() as db:
            await get_card(db, organization_id, card_id)

    def _id(self, request: Request) -> UUID:
        card_id = read_id("card", request.path_params["id"])
        if card_id is None:
            raise NoSuchCard
        return card_id

    async def _add_form(self, request: Request, form: Mapping[str, str], error: PouchError | None) -> Response:
        return await self._web.page(
            request,
            "billing/add_card.html",
            error.status if error else 200,
            attempt=_attempt(form) if form else str(uuid4()),
            problem=error,
        )


def _attempt(form: Mapping[str, str]) -> str:
    """The key of one intention, minted with the form; whatever else stands there is another one."""
    text = form.get("attempt", "")
    return text if text.isascii() and text.isprintable() and 0 < len(text) <= 80 and " " not in text else str(uuid4())
