"""/admin/purchases: everybody's purchases, one with everything about it, and giving it back."""

from typing import cast, get_args
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.admin.desk import Desk
from pouch.admin.orders import Orders, RefundOrder, key_of
from pouch.admin.reading import read_amount, read_note
from pouch.base.database import Connection, Database
from pouch.base.errors import Conflict, InvalidInput, NotFound, PouchError
from pouch.base.ids import read_id, show_id
from pouch.base.languages import later, say
from pouch.ledger.accounts import balance
from pouch.ledger.history import lines_of_cause
from pouch.ledger.lots import unused_of
from pouch.oversight.types import Request as Asked
from pouch.payments import desk, disputes, refunds
from pouch.payments.errors import NoProcessor, RefundChanged
from pouch.payments.purchases import get_purchase
from pouch.payments.refunding import Refunding
from pouch.payments.refunds import RefundReason
from pouch.payments.types import Purchase, PurchaseState
from pouch.payments.words import PURCHASE_STATES, REFUND_STATES, dispute_words
from pouch.web.forms import read_form
from pouch.web.pages import Web

PER_PAGE = 50
REASONS: dict[RefundReason, str] = {
    "requested_by_customer": later("The customer asked for it"),
    "duplicate": later("It was paid twice"),
    "fraudulent": later("It was fraud"),
}


class PurchasePages:
    """The pages about purchases. A refund asks for the password again, and says first what it will do."""

    def __init__(self, web: Web, pages: Desk, database: Database, refunding: Refunding, orders: Orders) -> None:
        self._web = web
        self._pages = pages
        self._database = database
        self._refunding = refunding
        self._orders = orders

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/admin/purchases", self.search),
            Route("/admin/purchases/{id}", self.show),
            Route("/admin/purchases/{id}/refund", self.ask, methods=["GET"]),
            Route("/admin/purchases/{id}/refund", self.refund, methods=["POST"]),
        ]

    async def search(self, request: Request) -> Response:
        """All purchases, or those that fit."""
        await self._pages.operator(request)
        query = request.query_params
        text = query.get("q", "")[:200]
        state = query.get("state") if query.get("state") in get_args(PurchaseState) else None
        async with self._database.transaction() as db:
            found = await desk.search(
                db,
                text,
                cast("PurchaseState | None", state),  # it is one of them, as just looked up
                before=read_id("pur", query.get("before", "")),
                limit=PER_PAGE + 1,
            )
        return await self._pages.page(
            request,
            "admin/purchases.html",
            purchases=found[:PER_PAGE],
            older=found[PER_PAGE - 1].shown_id if len(found) > PER_PAGE else None,
            text=text,
            state=state or "",
            states=PURCHASE_STATES,
        )

    async def show(self, request: Request) -> Response:
        """One purchase: its money, its refunds and disputes, what the processor told, what was posted."""
        await self._pages.operator(request)
        async with self._database.transaction() as db:
            purchase = await self._purchase(db, request)
            given_back = await refunds.of_purchase(db, purchase.id)
            objections = await disputes.of_purchase(db, purchase.id)
            warnings = await disputes.warnings_of(db, purchase.id)
            ids = [purchase.payment_id, purchase.session_id]
            ids += [each.stripe_id for each in given_back] + [each.stripe_id for each in objections]
            ids += [each.stripe_id for each in warnings]
            events = await desk.events_about(db, [each for each in ids if each])
            lines = await lines_of_cause(db, purchase.id)
            has = await balance(db, purchase.organization_id)
            unused = await unused_of(db, purchase.organization_id, purchase.id)
            left = await self._refunding.left(db, purchase)
        return await self._pages.page(
            request,
            "admin/purchase.html",
            purchase=purchase,
            states=PURCHASE_STATES,
            refund_states=REFUND_STATES,
            dispute_words=dispute_words,
            show_id=show_id,
            processor_url=processor_url(purchase),
            refunds=given_back,
            disputes=objections,
            warnings=warnings,
            events=events,
            lines=lines,
            has=has,
            unused=unused,
            left=left,
        )

    async def ask(self, request: Request) -> Response:
        """Say what a refund will do, before it does."""
        viewer = await self._pages.operator(request)
        if again := await self._web.ask_again(viewer, request.url.path):
            return again
        return await self._form(request, {}, None)

    async def refund(self, request: Request) -> Response:
        """Give it back. The same form sent twice is one refund."""
        viewer = await self._pages.operator(request)
        form = await read_form(request)
        if again := await self._web.ask_again(viewer, request.url.path):
            return again
        who, attempt = self._pages.who(viewer), form.get("attempt", "")
        async with self._database.transaction() as db:
            purchase = await self._purchase(db, request)
        try:
            amount = read_amount(form.get("amount_usd", ""))
            order = RefundOrder(
                purchase.id,
                purchase.email,
                amount.nanos,
                (read_amount(form["total_usd"]) if form.get("total_usd") else amount).nanos,
                next((reason for reason in REASONS if reason == form.get("reason")), "requested_by_customer"),
                read_note(form.get("note", "")),
            )
            async with self._database.transaction() as db:
                placed = await self._orders.place(db, who, attempt, order)
        except (InvalidInput, Conflict, NoProcessor) as error:
            return await self._form(request, form, error)
        if isinstance(placed, Asked):
            return RedirectResponse(f"/admin/approvals/{placed.shown_id}", status_code=303)
        await self._orders.finish_refund(order, viewer.person_id, key_of(who, attempt))
        return RedirectResponse(f"/admin/purchases/{purchase.shown_id}", status_code=303)

    async def _form(self, request: Request, form: dict[str, str], error: PouchError | None) -> Response:
        async with self._database.transaction() as db:
            purchase = await self._purchase(db, request)
            left = await self._refunding.left(db, purchase)
            has = await balance(db, purchase.organization_id)
            unused = await unused_of(db, purchase.organization_id, purchase.id)
            parts = error.parts if isinstance(error, RefundChanged) else await self._refunding.parts(db, purchase, left)
        return await self._pages.page(
            request,
            "admin/refund.html",
            error.status if error else 200,
            purchase=purchase,
            left=left,
            has=has,
            unused=unused,
            parts=parts,
            reasons=REASONS,
            typed=form,
            # A corrected amount is still the same intention.
            attempt=form.get("attempt") if isinstance(error, InvalidInput | RefundChanged) else str(uuid4()),
            field_error=error.message if isinstance(error, InvalidInput) else None,
            problem=None if isinstance(error, InvalidInput) else error,
        )

    async def _purchase(self, db: Connection, request: Request) -> Purchase:
        purchase_id: UUID | None = read_id("pur", request.path_params["id"])
        if purchase_id is None:
            raise NotFound(say("There is no such purchase."))
        return await get_purchase(db, purchase_id)


def processor_url(purchase: Purchase) -> str | None:
    """Where the operator finds the payment at Stripe; the embedded processor has no such page."""
    if purchase.payment_id is None or purchase.mode == "embedded":
        return None
    return f"https://dashboard.stripe.com/{'' if purchase.mode == 'live' else 'test/'}payments/{purchase.payment_id}"
