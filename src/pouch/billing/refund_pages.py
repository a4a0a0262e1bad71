"""Taking a purchase back: what is unused of it goes back to the card."""

from collections.abc import Mapping
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.base.database import Connection, Database
from pouch.base.errors import Conflict, InvalidInput, NotFound, PouchError
from pouch.base.ids import read_id
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.payments.errors import NoProcessor
from pouch.payments.purchases import find_purchase
from pouch.payments.refunding import Ask, Refunding
from pouch.payments.types import Purchase
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.viewer import Viewer


class RefundPages:
    """The page that says what a refund will do, and does it. The session alone says whose purchase."""

    def __init__(self, web: Web, database: Database, refunding: Refunding) -> None:
        self._web = web
        self._database = database
        self._refunding = refunding

    def routes(self) -> list[Route]:
        """Where it is."""
        return [
            Route("/billing/purchases/{id}/refund", self.ask, methods=["GET"]),
            Route("/billing/purchases/{id}/refund", self.refund, methods=["POST"]),
        ]

    async def ask(self, request: Request) -> Response:
        """Say what will go back, to which card."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            await self._purchase(db, viewer, request)
        if again := await self._web.ask_again(viewer, request.url.path):
            return again
        return await self._form(request, viewer, {}, None)

    async def refund(self, request: Request) -> Response:
        """Give it back. The same form sent twice is one refund."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        async with self._database.transaction() as db:
            purchase = await self._purchase(db, viewer, request)
        if again := await self._web.ask_again(viewer, request.url.path):
            return again
        try:
            shown = _amount(form, "total_usd") if "total_usd" in form else None
            ask = Ask("customer", viewer.person_id, _amount(form, "amount_usd"), form.get("attempt", ""), shown=shown)
            await self._refunding.start(purchase.id, ask)
        except (InvalidInput, Conflict, NoProcessor) as error:
            return await self._form(request, viewer, form, error)
        return RedirectResponse(f"/billing/purchases/{purchase.shown_id}", status_code=303)

    async def _form(
        self, request: Request, viewer: Viewer, form: Mapping[str, str], error: PouchError | None
    ) -> Response:
        async with self._database.transaction() as db:
            purchase = await self._purchase(db, viewer, request)
            unused = await self._refunding.self_service(db, purchase)
            parts = await self._refunding.parts(db, purchase, unused)
        return await self._web.page(
            request,
            "billing/refund.html",
            error.status if error else 200,
            purchase=purchase,
            unused=unused,
            used=purchase.amount - unused,
            parts=parts,
            attempt=form.get("attempt") if isinstance(error, InvalidInput) else str(uuid4()),
            problem=error,
        )

    async def _purchase(self, db: Connection, viewer: Viewer, request: Request) -> Purchase:
        purchase_id = read_id("pur", request.path_params["id"])
        found = await find_purchase(db, viewer.organization_id, purchase_id) if purchase_id else None
        if found is None:
            raise NotFound(say("There is no such purchase."))
        return found


def _amount(form: Mapping[str, str], name: str) -> Money:
    try:
        return Money.parse(form.get(name, ""))
    except ValueError:
        raise InvalidInput(say("The form was not complete. Open the page again."), field="amount_usd") from None
