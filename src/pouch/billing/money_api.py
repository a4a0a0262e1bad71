"""The ledger, forecast, statements, alerts and the price of a purchase, for programs."""

import re
from datetime import date

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Connection, Database
from pouch.base.errors import InvalidInput
from pouch.base.money import Dollars, Money
from pouch.billing.alert_pages import statement_file
from pouch.billing.alerts import Alerts, alerts_of, set_alerts
from pouch.billing.callers import Callers
from pouch.billing.export import csv_of, shape_of
from pouch.billing.forecast import Forecasts, Outlook
from pouch.billing.lines import Wanted, every_line, list_lines
from pouch.billing.once import Answer, Once
from pouch.billing.purchase_api import json_answer, read_limit
from pouch.billing.statements import Statement, months_of, read_month, statement_of
from pouch.identity.keys import key_names
from pouch.ledger.accounts import balance
from pouch.payments.checkout import Checkout
from pouch.web.bodies import Body, read_json

_SEQ = re.compile(r"[0-9]{1,18}", re.ASCII)


class Estimate(Body):
    """What might be bought."""

    amount_usd: Dollars


class NewAlerts(Body):
    """What owners are told."""

    low_usd: Dollars | None
    """The mark of a low balance; null for no notice."""
    zero: bool
    month: bool


class MoneyApi:
    """/api/v1/billing/ledger, /forecast, /statements, /alerts and /estimate."""

    def __init__(  # noqa: PLR0913 -- what it is composed of, by name
        self,
        database: Database,
        callers: Callers,
        once: Once,
        *,
        checkout: Checkout,
        forecasts: Forecasts,
        clock: Clock = system_clock,
    ) -> None:
        self._database = database
        self._callers = callers
        self._once = once
        self._checkout = checkout
        self._forecasts = forecasts
        self._clock = clock

    def routes(self) -> list[Route]:
        """Where they are."""
        here = "/api/v1/billing"
        return [
            Route(f"{here}/ledger", self.ledger),
            Route(f"{here}/ledger.csv", self.ledger_csv),
            Route(f"{here}/forecast", self.forecast),
            Route(f"{here}/statements", self.statements),
            Route(f"{here}/statements/{{month}}.csv", self.statement_csv),
            Route(f"{here}/statements/{{month}}", self.statement),
            Route(f"{here}/alerts", self.alerts, methods=["GET"]),
            Route(f"{here}/alerts", self.set_alerts, methods=["POST"]),
            Route(f"{here}/estimate", self.estimate, methods=["POST"]),
        ]

    async def ledger(self, request: Request) -> Response:
        """Changes of the balance, the newest first; chosen as on the Billing page."""
        caller = await self._callers.reader(request)
        limit, before = read_limit(request), _before(request)
        async with self._database.transaction() as db:
            names = await key_names(db, caller.organization_id)
            wanted = Wanted.of(request.query_params)
            found = await list_lines(db, caller.organization_id, wanted, before=before, limit=limit + 1)
        shown = found[:limit]
        return json_answer(
            {
                "data": [shape_of(charge, names) for charge in shown],
                "has_more": len(found) > limit,
                "next_before": str(shown[-1].line.seq) if len(found) > limit else None,
            }
        )

    async def ledger_csv(self, request: Request) -> Response:
        """All of them as CSV."""
        caller = await self._callers.reader(request)
        async with self._database.transaction() as db:
            names = await key_names(db, caller.organization_id)
        chunks = every_line(self._database, caller.organization_id, Wanted.of(request.query_params))
        headers = {"cache-control": "private, no-store", "content-disposition": 'attachment; filename="ledger.csv"'}
        return StreamingResponse(csv_of(chunks, names), headers=headers, media_type="text/csv; charset=utf-8")

    async def forecast(self, request: Request) -> Response:
        """How long the credits last."""
        caller = await self._callers.reader(request)
        async with self._database.transaction() as db:
            found = await self._forecasts.of(db, caller.organization_id)
        return json_answer(
            {
                "available_usd": found.available.decimal(),
                "days_left": found.days_left,
                "today": _outlook(found.today),
                "week": _outlook(found.week),
            }
        )

    async def statements(self, request: Request) -> Response:
        """The months that have one."""
        caller = await self._callers.reader(request)
        async with self._database.transaction() as db:
            months = await months_of(db, caller.organization_id, now=self._clock())
        return json_answer({"data": [f"{month:%Y-%m}" for month in months]})

    async def statement(self, request: Request) -> Response:
        """One month."""
        caller = await self._callers.reader(request)
        month = read_month(request.path_params["month"])
        async with self._database.transaction() as db:
            found = await statement_of(db, caller.organization_id, month)
        return json_answer(_statement(found, self._clock().date()))

    async def statement_csv(self, request: Request) -> Response:
        """Every line of one month."""
        caller = await self._callers.reader(request)
        return await statement_file(self._database, caller.organization_id, read_month(request.path_params["month"]))

    async def alerts(self, request: Request) -> Response:
        """What owners are told."""
        caller = await self._callers.reader(request)
        async with self._database.transaction() as db:
            return json_answer(_alerts(await alerts_of(db, caller.organization_id)))

    async def set_alerts(self, request: Request) -> Response:
        """Change what owners are told."""
        caller = await self._callers.writer(request)
        body = await read_json(request, NewAlerts)
        if body.low_usd is not None and not body.low_usd:
            raise InvalidInput("A mark is more than nothing; null is no notice.", field="low_usd")
        wanted = Alerts(body.low_usd, tells_zero=body.zero, tells_month=body.month)

        async def act(db: Connection) -> Answer:
            await set_alerts(db, caller.organization_id, wanted)
            return Answer(_alerts(wanted))

        return await self._once.in_one_commit(request, caller.organization_id, act)

    async def estimate(self, request: Request) -> Response:
        """What so many credits would cost. Nothing is begun, so it takes no Idempotency-Key and reading is enough."""
        caller = await self._callers.reader(request)
        wanted = await read_json(request, Estimate)
        self._checkout.check_amount(wanted.amount_usd)
        quote = self._checkout.charges.quote(wanted.amount_usd)
        async with self._database.transaction() as db:
            has = await balance(db, caller.organization_id)
        return json_answer(
            {
                "amount_usd": quote.amount.decimal(),
                "fee_usd": quote.fee.decimal(),
                "tax_usd": _usd(quote.tax),
                "total_usd": _usd(quote.total),
                "available_after_usd": (has.available + quote.amount).decimal(),
            }
        )


def _before(request: Request) -> int | None:
    text = request.query_params.get("before")
    if text is None:
        return None
    if not _SEQ.fullmatch(text):
        raise InvalidInput("This is not a place in the ledger; `next_before` says one.", field="before")
    return int(text)


def _usd(amount: Money | None) -> str | None:
    return amount.decimal() if amount is not None else None


def _outlook(outlook: Outlook | None) -> dict[str, object] | None:
    if outlook is None:
        return None
    return {
        "per_day_usd": outlook.per_day.decimal(),
        "days_left": outlook.days_left,
        "runs_out_at": outlook.runs_out_at.isoformat() if outlook.runs_out_at else None,
        "cap_hit_at": outlook.cap_hit_at.isoformat() if outlook.cap_hit_at else None,
    }


def _statement(found: Statement, today: date) -> dict[str, object]:
    return {
        "month": found.shown_month,
        "is_over": found.last_day < today,
        "opening_usd": found.opening.decimal(),
        "lines": [{"kind": line.kind, "count": line.count, "total_usd": line.total.decimal()} for line in found.lines],
        "closing_usd": found.closing.decimal(),
    }


def _alerts(alerts: Alerts) -> dict[str, object]:
    return {"low_usd": _usd(alerts.low), "zero": alerts.tells_zero, "month": alerts.tells_month}
