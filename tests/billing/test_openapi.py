"""The document says what the routes answer: no more, no less."""

import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Route

from billing.shapes import problems
from billing.site import OpenSite, Site
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.billing import openapi
from pouch.ledger.operations import Capture
from pouch.ledger.posting import post
from pouch.settings import Settings
from pouch.vouchers.making import make
from pouch.vouchers.types import Wish
from support.guards import ROOT
from support.ledger import hold_of
from usage.calls import a_call, write

pytestmark = pytest.mark.anyio

HERE = "/api/v1/billing"


async def document_of(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/api/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    return found


def schema_of(document: dict[str, Any], method: str, path: str, status: int) -> dict[str, Any]:
    responses = document["paths"][path][method]["responses"]
    (content,) = responses.get(str(status), responses["default"])["content"].values()
    found: dict[str, Any] = content["schema"]
    return found


async def test_it_names_every_route_and_no_other(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        document = await document_of(alice)
        named = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
        app = site.app._app  # noqa: SLF001 -- nothing else knows all routes
        assert isinstance(app, Starlette)
        routes = [route for route in app.routes if isinstance(route, Route) and route.path.startswith(HERE)]
        answered = {(method, route.path) for route in routes for method in (route.methods or set()) - {"HEAD"}}
        assert named == answered


def test_the_page_in_the_docs_names_every_address_and_no_other() -> None:
    page = (ROOT / "src/pouch/site/templates/site/docs/billing-api.html").read_text()
    said = re.findall(r"<code>(GET|POST|PUT|DELETE) (/[^<]*)</code>", page)
    paths = openapi.document(Settings(config="", secret_key=SecretStr("a secret of the tests")))["paths"]
    assert isinstance(paths, dict)
    named = {(method.upper(), path.removeprefix(HERE)) for path, methods in paths.items() for method in methods}
    assert set(said) == named
    assert len(said) == len(named)


async def test_every_answer_is_as_it_says(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        document = await document_of(alice)
        month = f"{datetime.now(UTC):%Y-%m}"
        code = await prepare(site)
        bought = await ask(alice, document, "post", "/purchases", {"amount_usd": "10"})
        assert site.processor is not None
        await site.processor.pay(bought["checkout_url"])
        await ask(alice, document, "get", "/purchases/{id}", id=bought["id"])
        await ask(alice, document, "get", "/purchases")
        await ask(alice, document, "post", "/estimate", {"amount_usd": "10"})
        await ask(alice, document, "post", "/vouchers/redeem", {"code": code})
        lines = await ask(alice, document, "get", "/ledger")
        assert {line["kind"] for line in lines["data"]} == {"purchase", "grant", "inference"}
        await ask(alice, document, "get", "/lots")
        forecast = await ask(alice, document, "get", "/forecast")
        assert forecast["week"]["days_left"] > 0
        await ask(alice, document, "get", "/statements")
        await ask(alice, document, "get", "/statements/{month}", month=month)
        await ask(alice, document, "post", "/alerts", {"low_usd": "5", "zero": True, "month": True})
        await ask(alice, document, "get", "/alerts")
        refund = await ask(alice, document, "post", "/refunds", {"purchase": bought["id"], "amount_usd": "2.50"})
        assert refund["total_usd"] == "2.500000000"
        await ask(alice, document, "get", "/refunds/{id}", id=refund["id"])
        assert [each["id"] for each in (await ask(alice, document, "get", "/refunds"))["data"]] == [refund["id"]]


async def test_every_answer_about_the_auto_top_up_is_as_it_says(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        document = await document_of(alice)
        assert (await ask(alice, document, "get", "/auto-topup"))["state"] == "off"
        await save_card(site, alice)
        (card,) = (await ask(alice, document, "get", "/payment-methods"))["data"]
        assert card["last4"] == "4242"
        wanted = {"threshold_usd": "10", "amount_usd": "20", "monthly_cap_usd": "100"}
        armed = await ask(alice, document, "put", "/auto-topup", wanted)
        assert (armed["state"], armed["payment_method"]["id"]) == ("armed", card["id"])
        assert armed["under_way"]["total_usd"] == "20.000000000"
        await ask(alice, document, "post", "/auto-topup", wanted)
        assert len((await ask(alice, document, "get", "/auto-topup/attempts"))["data"]) == 1
        assert (await ask(alice, document, "delete", "/auto-topup"))["state"] == "off"


async def save_card(site: Site, browser: httpx.AsyncClient) -> None:
    """Save a card as a person does."""
    somebody, cards = site.people["alice"], site.topups.sync.cards
    setup = await cards.start(
        organization_id=somebody.organization_id,
        person_id=somebody.person_id,
        email=somebody.email,
        attempt=new_id().hex,
    )
    assert site.processor is not None
    assert setup.session_url is not None
    await site.processor.pay(setup.session_url)
    await browser.get(f"/billing/cards/added/{setup.shown_id}")


async def test_every_refusal_is_as_it_says(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        document = await document_of(alice)
        for method, path, body, status in (
            ("post", "/purchases", {"amount_usd": "1"}, 400),
            ("post", "/vouchers/redeem", {"code": "NONESUCH"}, 404),
            ("get", "/purchases/{id}", None, 404),
            ("get", "/statements/{month}", None, 404),
            ("get", "/refunds/{id}", None, 404),
            ("post", "/refunds", {"purchase": "pur_x"}, 404),
            ("put", "/auto-topup", {"threshold_usd": "10", "amount_usd": "20", "monthly_cap_usd": "100"}, 409),
        ):
            await ask(alice, document, method, path, body, status=status, id="x", month="x")


async def test_a_wrong_answer_would_be_noticed(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        document = await document_of(alice)
        schema = schema_of(document, "get", f"{HERE}/forecast", 200)
        right = {"available_usd": "1.000000000", "days_left": None, "today": None, "week": None}
        assert problems(schema, right, document) == []
        wrongs: list[dict[str, Any]] = [{"available_usd": "1"}, {"days_left": -1}, {"days_left": True}, {"more": 1}]
        for wrong in [*wrongs, {"today": {}}]:
            assert problems(schema, right | wrong, document)


async def prepare(site: Site) -> str:
    await site.give("alice", "5")
    organization = site.people["alice"].organization_id
    async with site.database.transaction() as db:
        hold = hold_of(organization, "1")
        await post(db, [hold])
        await post(db, [Capture(hold, Money.parse("0.25").nanos)])
        call = a_call(organization, cost="0.25", key_id=new_id(), ended=datetime.now(UTC), held="1")
        object.__setattr__(call, "id", hold.id)
        await write(db, call)
        return (await make(db, Wish(Money.parse("5"), "Workshop", credits_days=30), made_by="test"))[1]


async def ask(
    client: httpx.AsyncClient,
    document: dict[str, Any],
    method: str,
    path: str,
    body: object = None,
    *,
    status: int | None = None,
    **places: str,
) -> Any:
    headers = {"idempotency-key": new_id().hex}
    address = f"{HERE}{path.format(**places)}"
    answer = await client.request(method, address, json=body, headers=headers)
    expected = status or next(int(each) for each in document["paths"][f"{HERE}{path}"][method]["responses"])
    assert answer.status_code == expected, answer.text
    schema = schema_of(document, method, f"{HERE}{path}", answer.status_code)
    assert problems(schema, answer.json(), document) == []
    return answer.json()
