"""Buying credits as a program: the same purchases as on the pages, by the same rules."""

from uuid import UUID

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.database import Database
from pouch.base.errors import InvalidInput, NotFound
from pouch.base.ids import read_id
from pouch.base.money import Dollars
from pouch.billing.callers import BillingCaller, Callers
from pouch.billing.once import Answer, Once
from pouch.identity.errors import VerificationNeeded
from pouch.identity.throttles import client_network
from pouch.payments.checkout import Checkout
from pouch.payments.purchases import list_purchases
from pouch.payments.sync import Sync
from pouch.payments.types import Purchase
from pouch.web.bodies import Body, read_json

LISTED, LISTED_MAX = 20, 100


class NewPurchase(Body):
    """What is bought."""

    amount_usd: Dollars
    """The credits, as text such as "25.00". Fee and tax come on top."""


class PurchaseApi:
    """/api/v1/billing/purchases."""

    def __init__(self, database: Database, callers: Callers, once: Once, checkout: Checkout, sync: Sync) -> None:
        self._database = database
        self._callers = callers
        self._once = once
        self._checkout = checkout
        self._sync = sync

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/api/v1/billing/purchases", self.list, methods=["GET"]),
            Route("/api/v1/billing/purchases", self.start, methods=["POST"]),
            Route("/api/v1/billing/purchases/{id}", self.show),
        ]

    async def start(self, request: Request) -> Response:
        """Begin a purchase: `checkout_url` is where a person pays it. No card is charged without them."""
        caller = await self._callers.writer(request)
        if not caller.is_verified:
            raise VerificationNeeded
        wanted = await read_json(request, NewPurchase)

        async def act(request_id: UUID) -> Answer:
            purchase = await self._checkout.start(
                organization_id=caller.organization_id,
                person_id=caller.person_id,
                email=caller.email,
                amount=wanted.amount_usd,
                attempt=f"api:{request_id}",
                network=client_network(request.client.host if request.client else ""),
            )
            return Answer(self._shape(purchase), 201)

        return await self._once.across_the_network(request, caller.organization_id, act)

    async def list(self, request: Request) -> Response:
        """The newest first; `before` is the id of the last one of the page before."""
        caller = await self._callers.reader(request)
        limit, before = read_limit(request), _before(request)
        async with self._database.transaction() as db:
            found = await list_purchases(db, caller.organization_id, limit + 1, before=before)
        shown = [self._shape(purchase) for purchase in found[:limit]]
        return json_answer({"data": shown, "has_more": len(found) > limit})

    async def show(self, request: Request) -> Response:
        """One purchase, after asking the card processor about it."""
        caller = await self._callers.reader(request)
        return json_answer(self._shape(await self._find(request, caller)))

    async def _find(self, request: Request, caller: BillingCaller) -> Purchase:
        purchase_id = read_id("pur", request.path_params["id"])
        found = await self._sync.visit(caller.organization_id, purchase_id) if purchase_id else None
        if found is None:
            raise NotFound("There is no such purchase.")
        return found

    def _shape(self, purchase: Purchase) -> dict[str, object]:
        can_be_paid = purchase.state == "open" and not purchase.quarantine
        return {
            "id": purchase.shown_id,
            "state": purchase.state,
            "checkout_url": self._checkout.url_of(purchase) if can_be_paid else None,
            "amount_usd": purchase.amount.decimal(),
            "fee_usd": purchase.fee.decimal(),
            "tax_usd": purchase.tax.decimal() if purchase.tax is not None else None,
            "total_usd": purchase.total.decimal() if purchase.total is not None else None,
            "paid_with": purchase.card or None,
            "receipt_number": purchase.number if purchase.credited_at else None,
            "reason": purchase.reason or None,
            "created_at": purchase.created_at.isoformat(),
            "credited_at": purchase.credited_at.isoformat() if purchase.credited_at else None,
        }


def json_answer(content: dict[str, object]) -> Response:
    """An answer that is the asking person's alone."""
    return Response(
        orjson.dumps(content), headers={"cache-control": "private, no-store"}, media_type="application/json"
    )


def read_limit(request: Request) -> int:
    """How many a page of a list should hold. Raises InvalidInput."""
    text = request.query_params.get("limit", str(LISTED))
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= LISTED_MAX):
        raise InvalidInput(f"The limit is a number from 1 to {LISTED_MAX}.", field="limit")
    return int(text)


def _before(request: Request) -> UUID | None:
    text = request.query_params.get("before")
    if text is None:
        return None
    purchase_id = read_id("pur", text)
    if purchase_id is None:
        raise InvalidInput("This is not the id of a purchase.", field="before")
    return purchase_id
