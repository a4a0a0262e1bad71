"""What each emulator alone answers where it is not like Stripe: why there are bridges, and what was not run.

A newer emulator that has learnt something turns its case red; then the bridge can do less. docs/card-processors.md
shows the same cases as a table, word for word.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from contract.bridge import SECRET_KEY

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "card-processors.md"
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and the answer that is not Stripe's. `{customer}` and the like stand for things made before."""

    end: str
    request: str
    form: Document
    status: int
    answer: str
    """Words of it."""
    lacks: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.end}: {self.lacks}"

    @property
    def row(self) -> str:
        """As the page shows it."""
        sent = f" `{json.dumps(self.form)}`" if self.form else ""
        return f"| {self.end} | {self.lacks} | `{self.request}`{sent} | {self.status} `{self.answer}` |"


CHARGE = {"amount": 1000, "currency": "usd", "customer": "{customer}", "payment_method": "{visa}"}
AWAY = CHARGE | {"confirm": "true", "off_session": "true"}
CASES = [
    Case("localstripe", "POST /v1/checkout/sessions", {"mode": "setup"}, 404, "404: Not Found", "Checkout"),
    Case(
        "localstripe",
        "POST /v1/payment_intents",
        CHARGE | {"description": "Auto top-up"},
        400,
        "Unexpected description",
        "words about a charge",
    ),
    Case(
        "localstripe",
        "POST /v1/payment_intents",
        CHARGE | {"automatic_payment_methods": {"enabled": "true"}},
        400,
        "Unexpected automatic_payment_methods",
        "automatic payment methods",
    ),
    Case("localstripe", "POST /v1/payment_intents", AWAY, 200, "no amount_received", "what was received"),
    Case(
        "localstripe",
        "POST /v1/payment_intents",
        AWAY | {"payment_method": "{fails}"},
        402,
        "invalid_request_error",
        "card_error, decline codes, and the payment in the error",
    ),
    Case(
        "localstripe",
        "POST /v1/payment_intents",
        AWAY | {"payment_method": "{asks}"},
        200,
        "requires_action",
        "402 authentication_required off-session (Pouch takes this answer for the same thing)",
    ),
    Case(
        "localstripe",
        "POST /v1/payment_intents/{intent}/cancel",
        {"cancellation_reason": "abandoned"},
        400,
        "Unexpected cancellation_reason",
        "a reason for cancelling",
    ),
    Case(
        "localstripe", "POST /v1/payment_intents", CHARGE, 200, "another id for the same key", "idempotency keys", "key"
    ),
    Case("localstripe", "GET /v1/disputes", {}, 404, "404: Not Found", "disputes"),
    Case(
        "localstripe",
        "POST /v1/refunds",
        {"payment_intent": "{paid}", "amount": 999_999},
        200,
        "succeeded",
        "a limit for refunds",
    ),
    Case(
        "emulate",
        "POST /v1/checkout/sessions",
        {"mode": "payment", "line_items": {"0": {"quantity": 1, "price_data": {"unit_amount": 1000}}}},
        400,
        "Missing required param: line_items[0][price].",
        "prices that are said on the spot",
    ),
    Case(
        "emulate",
        "POST /v1/checkout/sessions",
        {"mode": "payment", "client_reference_id": "pur_1"},
        200,
        "no client_reference_id",
        "our reference on a session",
    ),
    Case(
        "emulate", "POST /v1/checkout/sessions", {"mode": "payment"}, 200, "no amount_total", "the total of a session"
    ),
    Case(
        "emulate",
        "POST /v1/checkout/sessions",
        {"mode": "payment"},
        200,
        "no payment_intent",
        "the payment of a session",
    ),
    Case(
        "emulate",
        "POST /v1/checkout/sessions",
        {"mode": "payment"},
        200,
        "another id for the same key",
        "idempotency keys",
        "key",
    ),
    Case("emulate", "POST /v1/setup_intents", {"customer": "{customer}"}, 404, "Not Found", "saving a card"),
    Case("emulate", "POST /v1/payment_methods", {"type": "card"}, 404, "Not Found", "cards"),
    Case(
        "emulate",
        "POST /v1/payment_intents",
        AWAY | {"payment_method": "pm_card_chargeDeclined"},
        200,
        "requires_confirmation",
        "charging at once, and declines",
    ),
    Case("emulate", "POST /v1/refunds", {"payment_intent": "pi_1"}, 404, "Not Found", "refunds"),
    Case("emulate", "GET /v1/events", {}, 404, "Not Found", "a list of events"),
]


@pytest.fixture
def url(case: Case, request: pytest.FixtureRequest) -> str:
    """Where the case's emulator is."""
    return str(request.getfixturevalue(f"{case.end}_url"))


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_an_emulator_answers_otherwise_than_stripe(case: Case, url: str, client: httpx.AsyncClient) -> None:
    client.base_url = httpx.URL(url)
    client.headers["authorization"] = f"Bearer {SECRET_KEY}"
    things = await made(client, case.end)
    method, _, path = case.request.partition(" ")
    form = {name: filled(value, things) for name, value in flat(case.form).items()}
    headers = {"idempotency-key": case.key} if case.key else {}

    async def ask() -> httpx.Response:
        data = form if method == "POST" else None
        return await client.request(method, filled(path, things), data=data, headers=headers)

    answer = await ask()
    assert answer.status_code == case.status, answer.text
    if case.key:
        assert answer.json()["id"] != (await ask()).json()["id"]
    elif case.answer.startswith("no "):
        assert case.answer.removeprefix("no ") not in answer.json()
    else:
        assert case.answer in answer.text


def test_the_page_about_card_processors_shows_the_same() -> None:
    assert [case.row for case in CASES if case.row not in PAGE.read_text()] == []


async def made(client: httpx.AsyncClient, end: str) -> dict[str, str]:
    """What a request may name."""

    async def make(path: str, form: Document) -> str:
        answer = await client.post(path, data=flat(form))
        assert answer.is_success, answer.text
        return str(answer.json()["id"])

    things = {"{customer}": await make("/v1/customers", {"email": "alice@example.com"}), "{visa}": "pm_1"}
    if end == "localstripe":
        numbers = {"{visa}": "4242424242424242", "{fails}": "4000000000000341", "{asks}": "4000002760003184"}
        for name, number in numbers.items():
            card = {"number": number, "exp_month": 12, "exp_year": 2034, "cvc": "123"}
            things[name] = await make("/v1/payment_methods", {"type": "card", "card": card})
        charge = {name: filled(value, things) for name, value in flat(CHARGE).items()}
        things["{intent}"] = await make("/v1/payment_intents", charge)
        things["{paid}"] = await make("/v1/payment_intents", charge | {"confirm": "true"})
    return things


def filled(text: str, things: dict[str, str]) -> str:
    for name, value in things.items():
        text = text.replace(name, value)
    return text


def flat(form: Document, within: str = "") -> dict[str, str]:
    """As Stripe's forms are written: {"a": {"b": 1}} becomes a[b]=1."""
    found: dict[str, str] = {}
    for name, value in form.items():
        place = f"{within}[{name}]" if within else name
        found |= flat(value, place) if isinstance(value, dict) else {place: str(value)}
    return found
