"""/admin/grants: giving credits that nobody paid for, what became of them, and taking the rest back."""

from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.admin.desk import Desk
from pouch.admin.orders import GrantOrder, Orders
from pouch.admin.reading import read_day, read_gift, read_note
from pouch.base.database import Connection, Database
from pouch.base.errors import Conflict, InvalidInput, NotFound, PouchError
from pouch.base.ids import read_id, show_id
from pouch.base.languages import later, say
from pouch.identity.people import find_person, search_people
from pouch.ledger import given
from pouch.ledger.given import Given, GrantState
from pouch.ledger.lots import GrantKind
from pouch.oversight import acts
from pouch.oversight.types import Act
from pouch.oversight.types import Request as Asked
from pouch.web.filters import dollars
from pouch.web.forms import read_form
from pouch.web.pages import Web

PER_PAGE = 50
STATES: dict[GrantState, tuple[str, str]] = {
    "unspent": (later("Unspent"), "good"),
    "part_spent": (later("Partly spent"), "good"),
    "spent": (later("Spent"), ""),
    "expired": (later("Expired"), ""),
    "revoked": (later("Taken back"), "bad"),
}
KINDS: dict[GrantKind, str] = {
    "promotional": later("Promotional: spent before what was paid"),
    "compensation": later("Compensation: spent like what was paid"),
}


class GrantPages:
    """The form, the list, and taking back. Each asks for the password again and is written down."""

    def __init__(self, web: Web, pages: Desk, database: Database, orders: Orders) -> None:
        self._web = web
        self._pages = pages
        self._database = database
        self._orders = orders

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/admin/grants", self.show, methods=["GET"]),
            Route("/admin/grants", self.give, methods=["POST"]),
            Route("/admin/grants/{id}/revoke", self.ask, methods=["GET"]),
            Route("/admin/grants/{id}/revoke", self.revoke, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The form and the newest grants."""
        viewer = await self._pages.operator(request)
        if again := await self._web.ask_again(viewer, request.url.path):
            return again
        return await self._draw(request, {"to": request.query_params.get("to", "")[:254].replace("\x00", "")}, None)

    async def give(self, request: Request) -> Response:
        """Give, or ask another operator. The same form sent twice gives once."""
        viewer = await self._pages.operator(request)
        form = await read_form(request)
        if again := await self._web.ask_again(viewer, request.url.path):
            return again
        try:
            async with self._database.transaction() as db:
                order = await _read(db, form)
                placed = await self._orders.place(db, self._pages.who(viewer), form.get("attempt", ""), order)
        except (InvalidInput, Conflict) as error:
            return await self._draw(request, form, error)
        there = f"/admin/approvals/{placed.shown_id}" if isinstance(placed, Asked) else "/admin/grants?done"
        return RedirectResponse(there, status_code=303)

    async def ask(self, request: Request) -> Response:
        """Say what taking back will do, before it does."""
        viewer = await self._pages.operator(request)
        if again := await self._web.ask_again(viewer, request.url.path):
            return again
        async with self._database.transaction() as db:
            grant = await given.find(db, _id(request))
            names = await _names(db, [grant])
        return await self._pages.page(request, "admin/grant_revoke.html", grant=grant, names=names, states=STATES)

    async def revoke(self, request: Request) -> Response:
        """Take back what is left of it, and is not held. Raises Conflict when that is nothing."""
        viewer = await self._pages.operator(request)
        if again := await self._web.ask_again(viewer, request.url.path):
            return again
        async with self._database.transaction() as db:
            gone = await given.revoke(db, _id(request), note=say("Taken back by the operator"))
            if not gone:
                raise Conflict(say("Nothing of this grant can be taken back now: it is spent, held or gone."))
            grant = await given.find(db, _id(request))
            text = f"{dollars(gone)} of the grant “{grant.note}” of {dollars(grant.amount)} taken back"
            key = f"revoke:{grant.id}:{gone.nanos}:{grant.left.nanos}"
            await acts.note(db, self._pages.who(viewer), Act(key, "grant_revoked", text, path="/admin/grants"))
        return RedirectResponse("/admin/grants?revoked", status_code=303)

    async def _draw(self, request: Request, form: dict[str, str], error: PouchError | None) -> Response:
        before = request.query_params.get("before", "")
        async with self._database.transaction() as db:
            found = await given.newest(
                db,
                before=int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None,
                limit=PER_PAGE + 1,
            )
            names = await _names(db, found)
        return await self._pages.page(
            request,
            "admin/grants.html",
            error.status if error else 200,
            grants=found[:PER_PAGE],
            older=found[PER_PAGE - 1].seq if len(found) > PER_PAGE else None,
            names=names,
            states=STATES,
            kinds=KINDS,
            typed=form,
            attempt=form.get("attempt") if isinstance(error, InvalidInput) else str(uuid4()),
            error=error.message if error else None,
            field=error.field if isinstance(error, InvalidInput) else None,
            alone=self._orders.alone,
            done=next((each for each in ("done", "revoked") if each in request.query_params), ""),
        )


async def _read(db: Connection, form: dict[str, str]) -> GrantOrder:
    typed = form.get("to", "").strip()
    found = await find_person(db, typed) if "@" in typed else None
    organization_id: UUID | None = found.organization_id if found else None
    if organization_id is None and (known := read_id("org", typed)) is not None:
        organization_id = known if await search_people(db, typed) else None
    if organization_id is None:
        raise InvalidInput(say("Nobody has this address, and no organization this id."), field="to")
    return GrantOrder(
        organization_id,
        found.email if found else typed,
        read_gift(form.get("amount_usd", "")).nanos,
        read_note(form.get("note", ""), required=True),
        "compensation" if form.get("kind") == "compensation" else "promotional",
        read_day(form.get("last_day", ""), "last_day", is_future=True),
    )


async def _names(db: Connection, grants: list[Given]) -> dict[UUID, str]:
    """Whose the organizations are: the address of somebody of each."""
    return {
        each.organization_id: next(
            (found.email for found in await search_people(db, show_id("org", each.organization_id), 1)),
            show_id("org", each.organization_id),
        )
        for each in {grant.organization_id: grant for grant in grants}.values()
    }


def _id(request: Request) -> UUID:
    grant_id = read_id("line", request.path_params["id"])
    if grant_id is None:
        raise NotFound(say("There is no such grant."))
    return grant_id
