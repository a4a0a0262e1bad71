"""GET /api/openapi.json: the billing API as an OpenAPI 3.1 document. A test holds it against the routes and answers."""

from collections.abc import Mapping
from typing import TypeAlias, Union

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch import __version__
from pouch.settings import Settings

Schema: TypeAlias = Mapping[str, Union[str, bool, int, list[str], list["Schema"], "Schema"]]

HERE = "/api/v1/billing"
USD: Schema = {"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{9}$"}
"""US dollars as exact text with nine decimals."""
USD_OR_NULL: Schema = {"type": ["string", "null"], "pattern": USD["pattern"]}
WANTED_USD: Schema = {"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,9})?$"}
WANTED_USD_OR_NULL: Schema = {**WANTED_USD, "type": ["string", "null"]}
TEXT: Schema = {"type": "string"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
TIME: Schema = {"type": "string", "format": "date-time"}
TIME_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
COUNT_OR_NULL: Schema = {"type": ["integer", "null"], "minimum": 0}
STATES = ["created", "open", "processing", "credited", "failed", "expired"]
STATES_AFTER = ["part_refunded", "refunded", "disputed", "dispute_lost"]


def thing(optional: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    """An object with these properties and no other."""
    needed = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def many(of: Schema, **more: Schema) -> Schema:
    """A list under `data`."""
    return thing((), data={"type": "array", "items": of}, **more)


OUTLOOK: Schema = {
    **thing(per_day_usd=USD, days_left=COUNT_OR_NULL, runs_out_at=TIME_OR_NULL, cap_hit_at=TIME_OR_NULL),
    "type": ["object", "null"],
}
CARD: Schema = thing(id=TEXT, brand=TEXT, last4=TEXT, exp_month=COUNT, exp_year=COUNT, is_default=FLAG, added_at=TIME)
ATTEMPT: Schema = thing(
    id=TEXT,
    state={
        "type": "string",
        "enum": ["created", "submitted", "unknown", "credited", "needs_action", "recovered", "declined", "not_tried"],
    },
    amount_usd=USD,
    fee_usd=USD,
    tax_usd=USD,
    total_usd=USD,
    balance_usd=USD,
    payment_method=TEXT_OR_NULL,
    code=TEXT_OR_NULL,
    reason=TEXT_OR_NULL,
    created_at=TIME,
    ended_at=TIME_OR_NULL,
)
SCHEMAS: dict[str, Schema] = {
    "Purchase": thing(
        id=TEXT,
        state={"type": "string", "enum": STATES + STATES_AFTER},
        checkout_url=TEXT_OR_NULL,
        amount_usd=USD,
        fee_usd=USD,
        tax_usd=USD_OR_NULL,
        total_usd=USD_OR_NULL,
        paid_with=TEXT_OR_NULL,
        receipt_number=COUNT_OR_NULL,
        reason=TEXT_OR_NULL,
        created_at=TIME,
        credited_at=TIME_OR_NULL,
    ),
    "NewPurchase": thing(amount_usd=WANTED_USD),
    "Estimate": thing(amount_usd=USD, fee_usd=USD, tax_usd=USD_OR_NULL, total_usd=USD_OR_NULL, available_after_usd=USD),
    "Line": thing(
        ("note", "cause", "model", "key", "tokens_in", "tokens_cached", "tokens_out"),
        line=TEXT,
        at=TIME,
        kind=TEXT,
        what=TEXT,
        note=TEXT,
        cause=TEXT,
        model=TEXT,
        key=TEXT,
        tokens_in=COUNT,
        tokens_cached=COUNT,
        tokens_out=COUNT,
        amount_usd=USD,
        balance_usd=USD,
    ),
    "Lot": thing(
        line=TEXT,
        kind={"type": "string", "enum": ["paid", "promotional", "compensation"]},
        at=TIME,
        amount_usd=USD,
        left_usd=USD,
        expires_at=TIME_OR_NULL,
        note=TEXT,
    ),
    "Refund": thing(
        id=TEXT,
        purchase=TEXT,
        state={"type": "string", "enum": ["created", "unknown", "pending", "succeeded", "failed"]},
        amount_usd=USD,
        fee_usd=USD,
        tax_usd=USD,
        total_usd=USD,
        note=TEXT,
        failure=TEXT,
        created_at=TIME,
        closed_at=TIME_OR_NULL,
    ),
    "NewRefund": thing(("amount_usd",), purchase=TEXT, amount_usd=WANTED_USD_OR_NULL),
    "Card": CARD,
    "Attempt": ATTEMPT,
    "TopUp": thing(
        state={"type": "string", "enum": ["off", "armed", "paused", "suspended"]},
        pause=TEXT_OR_NULL,
        reason=TEXT_OR_NULL,
        threshold_usd=USD_OR_NULL,
        amount_usd=USD_OR_NULL,
        target_usd=USD_OR_NULL,
        monthly_cap_usd=USD_OR_NULL,
        daily_max=COUNT_OR_NULL,
        used_this_month_usd=USD,
        tried_today=COUNT,
        would_charge_now_usd=USD_OR_NULL,
        not_before=TIME_OR_NULL,
        payment_method={**CARD, "type": ["object", "null"]},
        under_way={**ATTEMPT, "type": ["object", "null"]},
    ),
    "NewTopUp": thing(
        ("amount_usd", "target_usd", "daily_max"),
        threshold_usd=WANTED_USD,
        amount_usd=WANTED_USD_OR_NULL,
        target_usd=WANTED_USD_OR_NULL,
        monthly_cap_usd=WANTED_USD,
        daily_max=COUNT,
    ),
    "Redeemed": thing(line=TEXT, amount_usd=USD, expires_at=TIME_OR_NULL, note=TEXT),
    "Code": thing(code=TEXT),
    "Forecast": thing(available_usd=USD, days_left=COUNT_OR_NULL, today=OUTLOOK, week=OUTLOOK),
    "Statement": thing(
        month=TEXT,
        is_over=FLAG,
        opening_usd=USD,
        lines={"type": "array", "items": thing(kind=TEXT, count=COUNT, total_usd=USD)},
        closing_usd=USD,
    ),
    "Alerts": thing(low_usd=USD_OR_NULL, zero=FLAG, month=FLAG),
    "NewAlerts": thing(low_usd=WANTED_USD_OR_NULL, zero=FLAG, month=FLAG),
    "Problem": thing(
        ("field", "error_id"),
        type=TEXT,
        title=TEXT,
        status=COUNT,
        detail=TEXT,
        code=TEXT,
        field=TEXT,
        error_id=TEXT,
    ),
}


def ref(name: str) -> Schema:
    """A schema of the list above."""
    return {"$ref": f"#/components/schemas/{name}"}


def document(settings: Settings) -> dict[str, object]:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{settings.file.site.name}: billing",
            "version": __version__,
            "description": "What a person can do on the Billing pages. Amounts are exact text in US dollars.",
        },
        "servers": [{"url": settings.url}],
        "security": [{"key": []}, {"session": []}],
        "paths": {f"{HERE}{path}": operations for path, operations in _PATHS.items()},
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key with the scope billing:read (reading) or billing:write (everything).",
                },
                "session": {"type": "apiKey", "in": "cookie", "name": "pouch", "description": "A signed-in browser."},
            },
        },
    }


def _query(name: str, schema: Schema, words: str) -> dict[str, object]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": words}


def _place(name: str) -> dict[str, object]:
    return {"name": name, "in": "path", "required": True, "schema": TEXT}


_ONCE: dict[str, object] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "New for each intention. Sent again within a day, the request is answered as the first time.",
}
_LIMIT = _query("limit", {"type": "integer", "minimum": 1, "maximum": 100}, "How many at most; 20 without it.")
_CHOICES = [
    _query("kind", {"type": "string", "enum": ["calls", "purchases", "grants", "other"]}, "Only these changes."),
    _query("from", {"type": "string", "format": "date"}, "From this day on, UTC."),
    _query("to", {"type": "string", "format": "date"}, "Up to and with this day, UTC."),
    _query("model", TEXT, "Only calls of this model."),
    _query("key", TEXT, "Only calls with this key."),
]


def _answers(schema: Schema | None, status: int, media_type: str) -> dict[str, object]:
    content: dict[str, object] = {media_type: {"schema": schema or TEXT}}
    problem = {"description": "What is wrong.", "content": {"application/problem+json": {"schema": ref("Problem")}}}
    return {str(status): {"description": "Done.", "content": content}, "default": problem}


def _get(
    words: str, schema: Schema | None, *parameters: dict[str, object], media_type: str = "application/json"
) -> dict[str, object]:
    found: dict[str, object] = {"summary": words, "responses": _answers(schema, 200, media_type)}
    return found | ({"parameters": list(parameters)} if parameters else {})


def _post(words: str, takes: str, schema: Schema, *, status: int = 200, once: bool = True) -> dict[str, object]:
    body = {"required": True, "content": {"application/json": {"schema": ref(takes)}}}
    made: dict[str, object] = {
        "summary": words,
        "requestBody": body,
        "responses": _answers(schema, status, "application/json"),
    }
    return made | ({"parameters": [_ONCE]} if once else {})


_PATHS: dict[str, dict[str, object]] = {
    "/purchases": {
        "get": _get(
            "Purchases, newest first",
            many(ref("Purchase"), has_more=FLAG),
            _LIMIT,
            _query("before", TEXT, "The id of the last one of the page before."),
        ),
        "post": _post("Begin a purchase; a person pays it at checkout_url", "NewPurchase", ref("Purchase"), status=201),
    },
    "/purchases/{id}": {"get": _get("One purchase, after asking the card processor", ref("Purchase"), _place("id"))},
    "/refunds": {
        "get": _get("Refunds, newest first, those of the operator among them", many(ref("Refund")), _LIMIT),
        "post": _post("Give unused credits of a purchase back to its card", "NewRefund", ref("Refund"), status=201),
    },
    "/refunds/{id}": {"get": _get("One refund", ref("Refund"), _place("id"))},
    "/auto-topup": {
        "get": _get("The rule of the auto top-up, and what it would charge now", ref("TopUp")),
        "put": _post("Switch it on or change it", "NewTopUp", ref("TopUp"), once=False),
        "post": _post("The same, with an Idempotency-Key", "NewTopUp", ref("TopUp")),
        "delete": _get("Switch it off; what the bank was already asked for is still credited", ref("TopUp")),
    },
    "/auto-topup/attempts": {
        "get": _get(
            "Attempts to top up, newest first",
            many(ref("Attempt"), has_more=FLAG),
            _LIMIT,
            _query("before", TEXT, "The id of the last one of the page before."),
        )
    },
    "/payment-methods": {"get": _get("Saved cards, the default one first", many(ref("Card")))},
    "/estimate": {"post": _post("What so many credits cost", "NewPurchase", ref("Estimate"), once=False)},
    "/ledger": {
        "get": _get(
            "Changes of the balance, newest first",
            many(ref("Line"), has_more=FLAG, next_before=TEXT_OR_NULL),
            _LIMIT,
            _query("before", TEXT, "The next_before of the page before."),
            *_CHOICES,
        )
    },
    "/ledger.csv": {"get": _get("All of them as CSV", None, *_CHOICES, media_type="text/csv")},
    "/lots": {
        "get": _get(
            "Which credits came together and what is left of each, in the order in which they are spent",
            many(ref("Lot"), balance_usd=USD, held_usd=USD, available_usd=USD),
        )
    },
    "/vouchers/redeem": {"post": _post("Turn a voucher's code into credits", "Code", ref("Redeemed"), status=201)},
    "/forecast": {"get": _get("How long the credits last", ref("Forecast"))},
    "/statements": {"get": _get("The months that have a statement", many(TEXT))},
    "/statements/{month}": {"get": _get("One month's statement", ref("Statement"), _place("month"))},
    "/statements/{month}.csv": {
        "get": _get("Every line of a month as CSV", None, _place("month"), media_type="text/csv")
    },
    "/alerts": {
        "get": _get("What owners are told by mail", ref("Alerts")),
        "post": _post("Change what owners are told", "NewAlerts", ref("Alerts")),
    },
    "/events": {
        "get": _get(
            "Server-sent events balance, purchases, ledger and calls: how each is now, and again when it changes",
            None,
            media_type="text/event-stream",
        )
    },
}


class OpenApi:
    """The document, for whoever asks."""

    def __init__(self, settings: Settings) -> None:
        self._body = orjson.dumps(document(settings))

    def routes(self) -> list[Route]:
        """Where it is."""
        return [Route("/api/openapi.json", self.show)]

    async def show(self, _request: Request) -> Response:
        """The same for everybody."""
        return Response(self._body, media_type="application/json")
