"""Taking purchases back as a program or a signed-in browser: the unused part, by the same rules as on the pages."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.database import Database
from pouch.base.errors import NotFound
from pouch.base.ids import read_id, show_id
from pouch.base.languages import say
from pouch.base.money import Dollars
from pouch.billing.callers import Callers
from pouch.billing.once import Answer, Once
from pouch.billing.purchase_api import json_answer, read_limit
from pouch.identity.errors import SignInAgain
from pouch.payments import refunds
from pouch.payments.purchases import find_purchase
from pouch.payments.refunding import Ask, Refunding
from pouch.payments.refunds import Refund
from pouch.web.bodies import Body, read_json
from pouch.web.pages import Web


class NewRefund(Body):
    """What goes back: a purchase (`pur_…`) and how much of it."""

    purchase: str
    amount_usd: Dollars | None = None
    """The credits, as text such as "12.50". Left out: all that is unused."""


class RefundApi:
    """/api/v1/billing/refunds. A key with billing:write may refund; a browser must have signed in lately."""

    def __init__(self, web: Web, database: Database, callers: Callers, once: Once, refunding: Refunding) -> None:
        self._web = web
        self._database = database
        self._callers = callers
        self._once = once
        self._refunding = refunding

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/api/v1/billing/refunds", self.list, methods=["GET"]),
            Route("/api/v1/billing/refunds", self.start, methods=["POST"]),
            Route("/api/v1/billing/refunds/{id}", self.show),
        ]

    async def start(self, request: Request) -> Response:
        """Give the unused part of a purchase, or a part of that, back to the card that paid it."""
        caller = await self._callers.writer(request)
        if caller.session_id is not None:
            viewer = await self._web.signed_in(request)
            if await self._web.ask_again(viewer, "/billing") is not None:
                raise SignInAgain
        wanted = await read_json(request, NewRefund)

        async def act(request_id: UUID) -> Answer:
            purchase_id = read_id("pur", wanted.purchase)
            async with self._database.transaction() as db:
                found = await find_purchase(db, caller.organization_id, purchase_id) if purchase_id else None
                if found is None:
                    raise NotFound(say("There is no such purchase."))
                amount = wanted.amount_usd or await self._refunding.self_service(db, found)
            ask = Ask("customer", caller.person_id, amount, f"api:{request_id}")
            return Answer(_shape(await self._refunding.start(found.id, ask)), 201)

        return await self._once.across_the_network(request, caller.organization_id, act)

    async def list(self, request: Request) -> Response:
        """The newest first, those that the operator made among them."""
        caller = await self._callers.reader(request)
        async with self._database.transaction() as db:
            found = await refunds.of_organization(db, caller.organization_id, read_limit(request))
        return json_answer({"data": [_shape(refund) for refund in found]})

    async def show(self, request: Request) -> Response:
        """One refund."""
        caller = await self._callers.reader(request)
        refund_id = read_id("ref", request.path_params["id"])
        async with self._database.transaction() as db:
            found = await refunds.find_refund(db, caller.organization_id, refund_id) if refund_id else None
        if found is None:
            raise NotFound(say("There is no such refund."))
        return json_answer(_shape(found))


def _shape(refund: Refund) -> dict[str, object]:
    return {
        "id": refund.shown_id,
        "purchase": show_id("pur", refund.purchase_id),
        "state": refund.state,
        "amount_usd": refund.credits.decimal(),
        "fee_usd": refund.fee.decimal(),
        "tax_usd": refund.tax.decimal(),
        "total_usd": refund.amount.decimal(),
        "note": refund.note,
        "failure": refund.failure,
        "created_at": refund.created_at.isoformat(),
        "closed_at": refund.closed_at.isoformat() if refund.closed_at else None,
    }
