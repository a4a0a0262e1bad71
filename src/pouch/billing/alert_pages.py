"""Billing → Alerts: what somebody wants to be told; and the statements of each month."""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Database
from pouch.base.errors import InvalidInput
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.billing.alerts import Alerts, alerts_of, set_alerts
from pouch.billing.export import csv_of
from pouch.billing.lines import Wanted, every_line
from pouch.billing.statements import months_of, next_month, read_month, statement_of
from pouch.billing.words import LINE_KINDS
from pouch.identity.keys import key_names
from pouch.web.forms import read_form
from pouch.web.pages import Web

_TYPED = re.compile(r"[0-9]{1,6}(\.[0-9]{1,2})?", re.ASCII)


class AlertPages:
    """/billing/alerts and /billing/statements. The session alone says whose."""

    def __init__(self, web: Web, database: Database, *, clock: Clock = system_clock) -> None:
        self._web = web
        self._database = database
        self._clock = clock

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/billing/alerts", self.alerts, methods=["GET"]),
            Route("/billing/alerts", self.save, methods=["POST"]),
            Route("/billing/statements", self.statements),
            Route("/billing/statements/{month}.csv", self.statement_csv),
            Route("/billing/statements/{month}", self.statement),
        ]

    async def alerts(self, request: Request) -> Response:
        """What is chosen now."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            chosen = await alerts_of(db, viewer.organization_id)
        typed = chosen.low.decimal()[:-7] if chosen.low else ""
        return await self._draw(request, chosen, typed, None)

    async def save(self, request: Request) -> Response:
        """Keep what was chosen."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        tells = {"tells_zero": "zero" in form, "tells_month": "month" in form}
        try:
            wanted = Alerts(read_mark(form), **tells)
        except InvalidInput as error:
            return await self._draw(request, Alerts(None, **tells), form.get("low_usd", ""), error)
        async with self._database.transaction() as db:
            await set_alerts(db, viewer.organization_id, wanted)
        return RedirectResponse("/billing/alerts?saved", status_code=303)

    async def statements(self, request: Request) -> Response:
        """All months."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            months = await months_of(db, viewer.organization_id, now=self._clock())
        return await self._web.page(request, "billing/statements.html", months=months)

    async def statement(self, request: Request) -> Response:
        """One month, to print or to keep."""
        viewer = await self._web.signed_in(request)
        month = read_month(request.path_params["month"])
        async with self._database.transaction() as db:
            statement = await statement_of(db, viewer.organization_id, month)
        is_over = statement.last_day < self._clock().date()
        return await self._web.page(
            request, "billing/statement.html", statement=statement, kinds=LINE_KINDS, is_over=is_over
        )

    async def statement_csv(self, request: Request) -> Response:
        """Every line of the month as CSV."""
        viewer = await self._web.signed_in(request)
        month = read_month(request.path_params["month"])
        return await statement_file(self._database, viewer.organization_id, month)

    async def _draw(self, request: Request, chosen: Alerts, typed: str, error: InvalidInput | None) -> Response:
        return await self._web.page(
            request,
            "billing/alerts.html",
            error.status if error else 200,
            chosen=chosen,
            typed=typed,
            error=error.message if error else None,
            saved="saved" in request.query_params,
        )


def read_mark(form: Mapping[str, str]) -> Money | None:
    """The mark of a low balance. None when the field is empty. Raises InvalidInput."""
    text = form.get("low_usd", "").strip()
    if not text:
        return None
    if not _TYPED.fullmatch(text) or not Money.parse(text):
        raise InvalidInput(
            say("Type an amount in dollars and cents, such as 5 or 12.50, or leave it empty."), field="low_usd"
        )
    return Money.parse(text)


async def statement_file(database: Database, organization_id: UUID, month: date) -> Response:
    """The lines of a month as a CSV file."""
    wanted = Wanted(first_day=month, last_day=next_month(month) - timedelta(days=1))
    async with database.transaction() as db:
        names = await key_names(db, organization_id)
    content = csv_of(every_line(database, organization_id, wanted), names)
    headers = {
        "content-disposition": f'attachment; filename="statement-{month:%Y-%m}.csv"',
        "cache-control": "private, no-cache",
    }
    return StreamingResponse(content, headers=headers, media_type="text/csv; charset=utf-8; header=present")
