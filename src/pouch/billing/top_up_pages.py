"""The auto top-up: the ⚡ form on a page of its own, switching it off, and the page of the mailed confirmation link."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.base.database import Database
from pouch.base.errors import InvalidInput, PouchError
from pouch.billing.header import MoneyHeader
from pouch.billing.recent import Recent, ask_password
from pouch.billing.top_up_form import TopUpForm, shown_charge
from pouch.billing.words import ATTEMPT_STATES, RULE_STATES
from pouch.identity.verification import need_verified
from pouch.payments.checkout import Checkout
from pouch.topups.errors import CardRefused, ChargeChanged, NoCard, Suspended
from pouch.topups.recovery import PATH
from pouch.topups.room import TopUps
from pouch.topups.types import Attempt
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.viewer import Viewer

DONE = {"on", "off"}


class TopUpPages:
    """Whose rule it is follows from the session; whose confirmation, from the link."""

    def __init__(self, web: Web, database: Database, checkout: Checkout, topups: TopUps, recent: Recent) -> None:
        self._web = web
        self._database = database
        self._checkout = checkout
        self._topups = topups
        self._recent = recent
        web.templates.globals |= {"rule_states": RULE_STATES, "attempt_states": ATTEMPT_STATES}

    def routes(self) -> list[Route]:
        """Where the pages are."""
        return [
            Route("/billing/auto-top-up", self.show, methods=["GET"]),
            Route("/billing/auto-top-up", self.save, methods=["POST"]),
            Route("/billing/auto-top-up/off", self.switch_off, methods=["POST"]),
            Route(f"{PATH}/{{token}}", self.show_confirm, methods=["GET"]),
            Route(f"{PATH}/{{token}}", self.confirm, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The form, with what stands in the address typed into it."""
        await self._web.signed_in(request)
        return await self._form(request, request.query_params, None)

    async def save(self, request: Request) -> Response:
        """Switch it on or change it, when the form showed what that charges now."""
        viewer = await self._web.signed_in(request)
        need_verified(viewer)
        form = await read_form(request)
        typed = TopUpForm.typed(form, await self._of(viewer))
        if ask := await ask_password(self._recent, viewer, f"/billing/auto-top-up?{typed.query}"):
            return ask
        try:
            await self._topups.switch.save(
                viewer.organization_id,
                typed.wish,
                person_id=viewer.person_id,
                email=viewer.email,
                shown=shown_charge(form),
            )
        except (InvalidInput, NoCard, CardRefused, Suspended, ChargeChanged) as error:
            return await self._form(request, form, error)
        return RedirectResponse("/billing/auto-top-up?done=on", status_code=303)

    async def switch_off(self, request: Request) -> Response:
        """Switch it off. No password: stopping must never be hard."""
        viewer = await self._web.signed_in(request)
        await self._topups.switch.switch_off(viewer.organization_id)
        return RedirectResponse("/billing/auto-top-up?done=off", status_code=303)

    async def show_confirm(self, request: Request) -> Response:
        """What the mailed link is about. Nothing is made yet."""
        attempt = await self._topups.recovery.find(request.path_params["token"])
        return await self._confirm_page(request, attempt, None)

    async def confirm(self, request: Request) -> Response:
        """Begin the same purchase where the bank can ask, and go there."""
        token = request.path_params["token"]
        attempt = await self._topups.recovery.find(token)
        try:
            purchase = await self._topups.recovery.begin(token)
        except PouchError as error:
            return await self._confirm_page(request, attempt, error)
        return RedirectResponse(self._checkout.url_of(purchase), status_code=303)

    async def _confirm_page(self, request: Request, attempt: Attempt, error: PouchError | None) -> Response:
        return await self._web.page(
            request,
            "billing/confirm_top_up.html",
            error.status if error else 200,
            attempt=attempt,
            quote=self._checkout.charges.quote(attempt.amount),
            problem=error,
        )

    async def _of(self, viewer: Viewer) -> TopUpForm:
        async with self._database.transaction() as db:
            return TopUpForm.of(await self._topups.switch.overview(db, viewer.organization_id))

    async def _form(self, request: Request, form: Mapping[str, str], error: PouchError | None) -> Response:
        viewer = await self._web.signed_in(request)
        header = await self._web.find_header(viewer)
        assert isinstance(header, MoneyHeader)
        assert header.top_up is not None
        field = error.field if isinstance(error, InvalidInput) else None
        done = form.get("done", "")
        return await self._web.page(
            request,
            "billing/auto_top_up.html",
            error.status if error else 200,
            typed=TopUpForm.typed(form, TopUpForm.of(header.top_up)),
            field=field,
            field_error=error.message if error and field else None,
            problem=error if error and not field else None,
            done=done if done in DONE else "",
            dialogs={name: template for name, template in self._web.dialogs.items() if name != "auto-top-up"},
        )
