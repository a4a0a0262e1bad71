"""Redeeming a voucher: on a page, and as a program."""

from collections.abc import Mapping
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.base.database import Connection, Database
from pouch.base.errors import PouchError, TooManyRequests
from pouch.base.ids import show_id
from pouch.billing.callers import Callers
from pouch.billing.once import Answer, Once
from pouch.identity.errors import VerificationNeeded
from pouch.identity.throttles import client_network
from pouch.identity.verification import need_verified
from pouch.ledger.grants import grant_id_of
from pouch.vouchers.errors import CodeNotGood, UnknownCode
from pouch.vouchers.redeem import Desk
from pouch.vouchers.types import Redemption
from pouch.web.bodies import Body, read_json
from pouch.web.forms import read_form
from pouch.web.pages import Web


class Redeeming(Body):
    """What is redeemed."""

    code: str
    """As it was given; case, spaces and dashes do not matter."""


class VoucherPages:
    """/billing/redeem and POST /api/v1/billing/vouchers/redeem."""

    def __init__(self, web: Web, database: Database, callers: Callers, once: Once, desk: Desk) -> None:
        self._web = web
        self._database = database
        self._callers = callers
        self._once = once
        self._desk = desk

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/billing/redeem", self.form, methods=["GET"]),
            Route("/billing/redeem", self.redeem, methods=["POST"]),
            Route("/api/v1/billing/vouchers/redeem", self.redeem_for_program, methods=["POST"]),
        ]

    async def form(self, request: Request) -> Response:
        """The form."""
        await self._web.signed_in(request)
        return await self._draw(request, {}, None)

    async def redeem(self, request: Request) -> Response:
        """Give the credits and show the line that gave them. A form that is sent twice redeems once."""
        viewer = await self._web.signed_in(request)
        need_verified(viewer)
        form = await read_form(request)
        try:
            async with self._database.transaction() as db:
                redemption = await self._desk.redeem(
                    db,
                    form.get("code", ""),
                    attempt=form.get("attempt", "")[:100],
                    organization_id=viewer.organization_id,
                    person_id=viewer.person_id,
                    email=viewer.email,
                    network=_network(request),
                )
        except (UnknownCode, CodeNotGood, TooManyRequests) as error:
            return await self._draw(request, form, error)
        return RedirectResponse(f"/billing/ledger/{_line_of(redemption)}", status_code=303)

    async def redeem_for_program(self, request: Request) -> Response:
        """The same for a program."""
        caller = await self._callers.writer(request)
        if not caller.is_verified:
            raise VerificationNeeded
        wanted = await read_json(request, Redeeming)

        async def act(db: Connection) -> Answer:
            redemption = await self._desk.redeem(
                db,
                wanted.code,
                attempt=str(uuid4()),
                organization_id=caller.organization_id,
                person_id=caller.person_id,
                email=caller.email,
                network=_network(request),
            )
            return Answer(
                {
                    "line": _line_of(redemption),
                    "amount_usd": redemption.amount.decimal(),
                    "expires_at": redemption.expires_at.isoformat() if redemption.expires_at else None,
                    "note": redemption.note,
                },
                201,
            )

        return await self._once.in_one_commit(request, caller.organization_id, act)

    async def _draw(self, request: Request, form: Mapping[str, str], error: PouchError | None) -> Response:
        # After a refusal nothing was redeemed, so the corrected form is the same intention.
        response = await self._web.page(
            request,
            "billing/redeem.html",
            error.status if error else 200,
            typed=form.get("code", ""),
            attempt=form.get("attempt") or str(uuid4()),
            error=error.message if error else None,
        )
        if isinstance(error, TooManyRequests):
            response.headers["retry-after"] = str(error.retry_after_s)
        return response


def _network(request: Request) -> str:
    # The socket's peer; behind a proxy that uvicorn trusts, the address that the proxy names.
    return client_network(request.client.host if request.client else "")


def _line_of(redemption: Redemption) -> str:
    return show_id("line", grant_id_of(f"voucher:{redemption.id}"))
