import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from billing.site import OpenSite, Site
from pouch.base.ids import new_id
from pouch.identity.keys import add_key
from pouch.identity.people import add_person
from pouch.identity.types import Scope

pytestmark = pytest.mark.anyio

PURCHASES = "/api/v1/billing/purchases"


@asynccontextmanager
async def program(
    site: Site, *scopes: Scope, email: str = "dana@harbor.example", verified: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """A program with a key of somebody who is registered."""
    async with site.database.transaction() as db:
        person = await add_person(db, email, None, verified=verified)
        _, secret = await add_key(db, person, "program", scopes=scopes)
    headers = {"authorization": f"Bearer {secret}"}
    transport = httpx.ASGITransport(site.app)
    async with httpx.AsyncClient(transport=transport, base_url=site.settings.url, headers=headers) as client:
        yield client


async def buy(client: httpx.AsyncClient, usd: object = "10", key: str | None = None) -> httpx.Response:
    return await client.post(PURCHASES, json={"amount_usd": usd}, headers={"idempotency-key": key or new_id().hex})


async def test_a_program_starts_a_purchase_and_a_person_pays_it(open_site: OpenSite) -> None:
    async with open_site() as site, program(site, "billing:write") as client:
        started = await buy(client, "12.50")
        assert started.status_code == 201
        purchase = started.json()
        assert (purchase["state"], purchase["amount_usd"]) == ("open", "12.500000000")
        assert site.processor is not None
        await site.processor.pay(purchase["checkout_url"])
        paid = (await client.get(f"{PURCHASES}/{purchase['id']}")).json()
        assert (paid["state"], paid["paid_with"], paid["checkout_url"]) == ("credited", "Visa ending 4242", None)
        assert (await client.get(PURCHASES)).json() == {"data": [paid], "has_more": False}


async def test_a_purchase_that_is_sent_again_is_the_same_purchase(open_site: OpenSite) -> None:
    async with open_site() as site, program(site, "billing:write") as client:
        answers = await asyncio.gather(*(buy(client, key="mine") for _ in range(10)))
        bought = [answer.json()["id"] for answer in answers if answer.status_code == 201]
        assert {answer.status_code for answer in answers} <= {201, 409}
        again = await buy(client, key="mine")
        assert (again.status_code, {again.json()["id"]}) == (201, set(bought))
        assert (await buy(client, "11", key="mine")).status_code == 422
        assert len((await client.get(PURCHASES)).json()["data"]) == 1


async def test_a_key_reads_with_one_scope_and_buys_with_the_other(open_site: OpenSite) -> None:
    async with open_site() as site:
        async with program(site, "inference", email="i@x.example") as client:
            assert [(await buy(client)).status_code, (await client.get(PURCHASES)).status_code] == [403, 403]
        async with program(site, "billing:read", email="r@x.example") as client:
            assert [(await buy(client)).status_code, (await client.get(PURCHASES)).status_code] == [403, 200]
        async with program(site, "billing:write", email="w@x.example") as client:
            assert [(await buy(client)).status_code, (await client.get(PURCHASES)).status_code] == [201, 200]
            # A cookie beside the key opens nothing: the key is what is meant.
            client.headers["authorization"] = "Bearer sk-pouch-nonsense"
            client.headers.update({"cookie": "pouch=alice", "sec-fetch-site": "same-origin"})
            assert [(await buy(client)).status_code, (await client.get(PURCHASES)).status_code] == [401, 401]


async def test_a_browser_buys_with_its_session_and_no_other_site_does(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as browser:
        assert (await buy(browser)).status_code == 201
        browser.headers["sec-fetch-site"] = "cross-site"
        assert (await buy(browser)).status_code == 403
        async with site.browser(None) as stranger:
            assert (await stranger.get(PURCHASES)).status_code == 401


async def test_nobody_sees_anothers_purchase(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice, site.browser("carol") as carol, site.browser("bob") as bob:
        address = f"{PURCHASES}/{(await buy(alice)).json()['id']}"
        statuses = [(await each.get(address)).status_code for each in (alice, bob, carol)]
        assert statuses == [200, 200, 404]
        assert (await carol.get(PURCHASES)).json() == {"data": [], "has_more": False}


async def test_whoever_is_not_verified_buys_nothing(open_site: OpenSite) -> None:
    async with open_site() as site, program(site, "billing:write", verified=False) as client:
        refused = await buy(client)
        assert (refused.status_code, refused.json()["code"]) == (403, "verification_needed")


@pytest.mark.parametrize("usd", ["4.99", "1000.01", "10.001", "-10", "1e1", "", 10, 10.5, None, ["10"], {"nanos": 1}])
async def test_an_amount_is_exact_text_within_the_limits(open_site: OpenSite, usd: object) -> None:
    async with open_site() as site, site.browser() as browser:
        refused = await buy(browser, usd)
        assert (refused.status_code, refused.json()["field"]) == (400, "amount_usd")


@pytest.mark.parametrize(
    "body", ["", "[]", "nonsense", '{"amount_usd": "10", "amount": 1}', '{"amount_usd": "10"', "\x00"]
)
async def test_what_is_no_such_object_is_refused_in_words(open_site: OpenSite, body: str) -> None:
    async with open_site() as site, site.browser() as browser:
        headers = {"idempotency-key": "k", "content-type": "application/json"}
        refused = await browser.post(PURCHASES, content=body, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input")
        form = await browser.post(PURCHASES, data={"amount_usd": "10"}, headers={"idempotency-key": "k"})
        assert form.status_code == 400


async def test_purchases_are_listed_in_pages_the_newest_first(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as browser:
        made = [(await buy(browser, str(10 + number))).json()["id"] for number in range(5)][::-1]
        first = (await browser.get(f"{PURCHASES}?limit=3")).json()
        assert ([each["id"] for each in first["data"]], first["has_more"]) == (made[:3], True)
        rest = (await browser.get(f"{PURCHASES}?limit=3&before={made[2]}")).json()
        assert ([each["id"] for each in rest["data"]], rest["has_more"]) == (made[3:], False)
        for wrong in ("limit=0", "limit=101", "limit=x", "before=nonsense"):
            assert (await browser.get(f"{PURCHASES}?{wrong}")).status_code == 400


async def test_without_a_card_processor_nothing_is_sold(open_site: OpenSite) -> None:
    async with open_site(sells=False) as site, site.browser() as browser:
        refused = await buy(browser)
        assert (refused.status_code, refused.json()["code"]) == (403, "no_processor")
