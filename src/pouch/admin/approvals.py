"""/admin/approvals: what waits for another operator. /admin/log: what operators did."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.admin.desk import Desk
from pouch.admin.orders import Orders, RefundOrder, order_of
from pouch.base.database import Database
from pouch.base.errors import NotFound
from pouch.base.ids import read_id
from pouch.base.languages import later, say
from pouch.oversight import acts, requests
from pouch.oversight.types import ActKind, RequestState
from pouch.web.pages import Web

STATES: dict[RequestState, tuple[str, str]] = {
    "waiting": (later("Waits for another operator"), "held"),
    "allowed": (later("Allowed"), "live"),
    "done": (later("Done"), "good"),
    "refused": (later("Refused"), "bad"),
    "withdrawn": (later("Taken back"), ""),
    "over": (later("Over"), ""),
}
ACTS: dict[ActKind, str] = {
    "grant": later("Credits given"),
    "grant_revoked": later("Credits taken back"),
    "vouchers": later("Vouchers made"),
    "vouchers_voided": later("Vouchers cancelled"),
    "refund": later("Refund"),
    "asked": later("Asked another operator"),
    "allowed": later("Allowed"),
    "refused": later("Refused"),
    "withdrawn": later("Request taken back"),
    "journal": later("Journal downloaded"),
}


class ApprovalPages:
    """Requests, one with its buttons, and the log. Whoever asked sees no button that allows it."""

    def __init__(self, web: Web, pages: Desk, database: Database, orders: Orders) -> None:
        self._web = web
        self._pages = pages
        self._database = database
        self._orders = orders

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/admin/approvals", self.list),
            Route("/admin/approvals/{id}", self.show),
            Route("/admin/approvals/{id}/allow", self.allow, methods=["POST"]),
            Route("/admin/approvals/{id}/refuse", self.refuse, methods=["POST"]),
            Route("/admin/log", self.log),
        ]

    async def list(self, request: Request) -> Response:
        """What waits, and the newest of the others."""
        await self._pages.operator(request)
        async with self._database.transaction() as db:
            waiting, decided = await requests.waiting(db), await requests.decided(db)
        return await self._pages.page(
            request,
            "admin/approvals.html",
            waiting=waiting,
            decided=decided,
            states=STATES,
            alone=self._orders.alone,
        )

    async def show(self, request: Request) -> Response:
        """One request: what exactly is asked for, by whom, and what can be done with it."""
        viewer = await self._pages.operator(request)
        async with self._database.transaction() as db:
            asked = await requests.get(db, _id(request))
        return await self._pages.page(
            request,
            "admin/approval.html",
            asked=asked,
            state=STATES[asked.state],
            is_own=asked.asked_by == viewer.person_id,
        )

    async def allow(self, request: Request) -> Response:
        """Allow it and do it. Raises NotNow."""
        viewer = await self._pages.operator(request)
        request_id = _id(request)
        if again := await self._web.ask_again(viewer, request.url.path.removesuffix("/allow")):
            return again
        async with self._database.transaction() as db:
            asked = await self._orders.allow(db, self._pages.who(viewer), request_id)
        order = order_of(asked)
        if isinstance(order, RefundOrder):
            await self._orders.finish_refund(order, asked.asked_by, f"request:{asked.id}")
        return RedirectResponse(f"/admin/approvals/{asked.shown_id}", status_code=303)

    async def refuse(self, request: Request) -> Response:
        """Refuse it, or take one's own back. Raises NotNow."""
        viewer = await self._pages.operator(request)
        request_id = _id(request)
        if again := await self._web.ask_again(viewer, request.url.path.removesuffix("/refuse")):
            return again
        async with self._database.transaction() as db:
            asked = await self._orders.refuse(db, self._pages.who(viewer), request_id)
        return RedirectResponse(f"/admin/approvals/{asked.shown_id}", status_code=303)

    async def log(self, request: Request) -> Response:
        """What operators did, newest first."""
        await self._pages.operator(request)
        before = request.query_params.get("before", "")
        async with self._database.transaction() as db:
            found = await acts.newest(
                db,
                before=int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None,
                limit=acts.PER_PAGE + 1,
            )
        return await self._pages.page(
            request,
            "admin/log.html",
            acts=found[: acts.PER_PAGE],
            older=found[acts.PER_PAGE - 1].seq if len(found) > acts.PER_PAGE else None,
            kinds=ACTS,
        )


def _id(request: Request) -> UUID:
    request_id = read_id("ask", request.path_params["id"])
    if request_id is None:
        raise NotFound(say("There is no such request."))
    return request_id
