"""The hosted page: where the buyer types a test card, answers the bank, and is sent back."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from pouch.base.clock import Clock
from pouch.base.compiled import compiled_templates
from pouch.base.database import Connection, Database
from pouch.base.errors import Conflict, InvalidInput, NotFound, PouchError
from pouch.embedded.cards import sessions, store
from pouch.embedded.cards.cards import BY_NAME, CARDS, TypedCard, find_card, read_card
from pouch.embedded.cards.place import Desk, Place
from pouch.embedded.cards.types import Charge, Intent, Session, Setup
from pouch.web.assets import Assets
from pouch.web.forms import read_form

FIELDS = ("number", "expiration", "cvc")

Move: TypeAlias = Callable[[Desk, Session], Awaitable[Session]]


class HostedPage:
    """The pages that a browser sees. `changed` is called after each commit that may have written events."""

    def __init__(
        self,
        database: Database,
        place: Place,
        *,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self._database = database
        self._place = place
        self._clock = clock
        self._changed = changed
        self._templates = Environment(
            loader=PackageLoader("pouch.embedded.cards"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            bytecode_cache=compiled_templates(),
        )
        self._templates.filters["cents"] = cents
        assets = Assets()
        self._templates.globals["stylesheet_url"] = assets.url("css/pouch.css")
        self._templates.globals["mark_url"] = assets.url("mark.svg")

    def routes(self) -> list[Route]:
        """The page of a session, the bank's question, and the receipt."""
        return [
            Route("/pay/{session_id}", self.show, methods=["GET"]),
            Route("/pay/{session_id}", self.pay, methods=["POST"]),
            Route("/pay/{session_id}/authentication", self.authenticate, methods=["POST"]),
            Route("/receipts/{charge_id}", self.receipt, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """The form, the bank's question, or where the session led."""
        async with self._database.transaction() as db:
            session = await store.find(db, Session, request.path_params["session_id"])
            intent = await self._tried(db, session) if session else None
        if session is None:
            raise NotFound("There is no such payment page.")
        if session.status == "complete":
            return _leave(session)
        if sessions.is_over(session, self._clock()):
            return self._closed("This payment page has expired. No money moved.", 410, session.cancel_url)
        if intent is not None and intent.status == "requires_action":
            return self._page("authentication.html", session=session)
        reason = str(intent.last_error["message"]) if intent is not None and intent.last_error else None
        return self._form(session, error=f"{reason} Try another card." if reason else None)

    async def _tried(self, db: Connection, session: Session) -> Intent | Setup | None:
        if session.mode == "setup":
            return await store.find(db, Setup, session.setup_id)
        return await store.find(db, Intent, session.intent_id)

    async def pay(self, request: Request) -> Response:
        """Try the card. A second click on a finished session only leads on."""
        form = await read_form(request)
        try:
            typed = self._read_card(form)
            return await self._move(request, lambda desk, session: sessions.pay(desk, session, typed))
        except InvalidInput as problem:
            return await self._again(request, form, problem)

    async def authenticate(self, request: Request) -> Response:
        """Take the buyer's answer to the bank."""
        passed = (await read_form(request)).get("outcome") == "complete"
        return await self._move(request, lambda desk, session: sessions.authenticate(desk, session, passed=passed))

    async def receipt(self, request: Request) -> Response:
        """What was paid, with which card."""
        async with self._database.transaction() as db:
            charge = await store.find(db, Charge, request.path_params["charge_id"])
        if charge is None or charge.status != "succeeded":
            raise NotFound("There is no such receipt.")
        return self._page("receipt.html", charge=charge)

    async def refuse(self, _request: Request, error: Exception) -> Response:
        """Answer an expected failure with a page of its own."""
        assert isinstance(error, PouchError)
        return self._closed(error.message, error.status)

    async def _move(self, request: Request, move: Move) -> Response:
        """Make one transition of a locked session, then show what it led to."""
        async with self._database.transaction() as db:
            session = await store.lock(db, Session, request.path_params["session_id"])
            if session is None:
                raise NotFound("There is no such payment page.")
            try:
                session = await move(Desk(db, self._clock(), self._place), session)
            except Conflict as over:
                return self._closed(over.message, 410, session.cancel_url)
        self._changed()
        if session.status == "complete":
            return _leave(session)
        # Without a host: the browser stays at the address by which it came.
        return RedirectResponse(f"{request.scope.get('root_path', '')}/pay/{session.id}", 303)

    def _read_card(self, form: Mapping[str, str]) -> TypedCard:
        """The typed number, or the chosen test card where none was typed; the typed one always wins."""
        number, now = form.get("number", "").strip(), self._clock()
        chosen = BY_NAME.get(form.get("outcome", ""))
        if number or chosen is None:
            return read_card(number, form.get("expiration", ""), form.get("cvc", ""), today=now)
        expiration = form.get("expiration", "").strip() or f"12/{now.year + 4}"
        return read_card(
            chosen.number, expiration, form.get("cvc", "").strip() or "1234"[: chosen.cvc_length], today=now
        )

    async def _again(self, request: Request, form: Mapping[str, str], problem: InvalidInput) -> Response:
        async with self._database.transaction() as db:
            session = await store.find(db, Session, request.path_params["session_id"])
        if session is None:
            raise NotFound("There is no such payment page.")
        if session.status == "complete":
            return _leave(session)
        typed = {field: form.get(field, "") for field in FIELDS}
        if find_card(typed["number"]) is None:
            # It may be a real card's: it goes nowhere, not even back.
            typed["number"] = ""
        return self._form(session, error=problem.message, field=problem.field, typed=typed, status=400)

    def _form(
        self,
        session: Session,
        *,
        error: str | None,
        field: str | None = None,
        typed: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> Response:
        blank = dict.fromkeys(FIELDS, "")
        cards = [card for card in CARDS if card.type in session.method_types]
        return self._page(
            "pay.html", status, session=session, cards=cards, error=error, field=field, typed=typed or blank
        )

    def _closed(self, message: str, status: int, back_url: str | None = None) -> Response:
        return self._page("closed.html", status, message=message, back_url=back_url)

    def _page(self, template: str, status: int = 200, **context: object) -> Response:
        text = self._templates.get_template(f"cards/{template}").render(context)
        return HTMLResponse(text, status, {"cache-control": "private, no-store"})


def cents(amount: int) -> str:
    """Whole cents as dollars: "$1,000.00"."""
    return f"${amount // 100:,}.{amount % 100:02d}"


def _leave(session: Session) -> Response:
    return RedirectResponse(session.success_url.replace("{CHECKOUT_SESSION_ID}", session.id), 303)
