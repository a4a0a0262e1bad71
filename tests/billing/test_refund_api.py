"""Taking purchases back as a program: once per Idempotency-Key, the unused part, one's own only."""

import httpx
import pytest

from billing.site import OpenSite, Site
from pouch.base.database import Connection
from pouch.base.money import Money
from pouch.ledger.accounts import balance

pytestmark = pytest.mark.anyio


async def bought(site: Site, browser: httpx.AsyncClient, usd: str = "10") -> str:
    """Alice buys; the purchase's id."""
    answer = await browser.post(
        "/api/v1/billing/purchases", json={"amount_usd": usd}, headers={"idempotency-key": f"buy-{usd}"}
    )
    made = answer.json()
    assert site.processor is not None
    await site.processor.pay(made["checkout_url"])
    await browser.get(f"/api/v1/billing/purchases/{made['id']}")
    return str(made["id"])


async def has(db: Connection, site: Site) -> Money:
    return (await balance(db, site.people["alice"].organization_id)).available


async def test_a_program_takes_the_unused_part_back_once(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as browser:
        purchase = await bought(site, browser)
        asked = {"json": {"purchase": purchase, "amount_usd": "4.00"}, "headers": {"idempotency-key": "back"}}
        first = await browser.post("/api/v1/billing/refunds", **asked)  # type: ignore[arg-type]  # one dict for both
        again = await browser.post("/api/v1/billing/refunds", **asked)  # type: ignore[arg-type]  # the same
        assert first.status_code == again.status_code == 201
        assert first.json() == again.json()
        assert first.json()["state"] == "succeeded"
        async with site.database.transaction() as db:
            assert await has(db, site) == Money.parse("6")
        listed = (await browser.get("/api/v1/billing/refunds")).json()["data"]
        assert [each["amount_usd"] for each in listed] == ["4.000000000"]
        one = await browser.get(f"/api/v1/billing/refunds/{listed[0]['id']}")
        assert one.json() == listed[0]


async def test_without_an_amount_all_that_is_unused_goes_back(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as browser:
        purchase = await bought(site, browser)
        answer = await browser.post(
            "/api/v1/billing/refunds", json={"purchase": purchase}, headers={"idempotency-key": "all"}
        )
        assert answer.json()["amount_usd"] == "10.000000000"


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"purchase": "pur_nobodys"}, 404),
        ({"purchase": 7}, 400),
        ({}, 400),
        ({"purchase": "own", "amount_usd": "10.01"}, 400),
        ({"purchase": "own", "amount_usd": "0.001"}, 400),
        ({"purchase": "own", "amount_usd": 4}, 400),
        ({"purchase": "own", "amount_usd": "-4"}, 400),
        ({"purchase": "own", "more": "1"}, 400),
    ],
)
async def test_what_cannot_be_refunded_is_refused(open_site: OpenSite, wanted: dict[str, object], status: int) -> None:
    async with open_site() as site, site.browser() as browser:
        purchase = await bought(site, browser)
        body = {**wanted, "purchase": purchase} if wanted.get("purchase") == "own" else wanted
        answer = await browser.post("/api/v1/billing/refunds", json=body, headers={"idempotency-key": "x"})
        assert answer.status_code == status, answer.text
        async with site.database.transaction() as db:
            assert await has(db, site) == Money.parse("10")


async def test_carol_neither_refunds_nor_sees_what_alice_bought(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice, site.browser("carol") as carol:
        purchase = await bought(site, alice)
        refund = (
            await alice.post("/api/v1/billing/refunds", json={"purchase": purchase}, headers={"idempotency-key": "all"})
        ).json()
        stolen = await carol.post(
            "/api/v1/billing/refunds", json={"purchase": purchase}, headers={"idempotency-key": "mine"}
        )
        assert stolen.status_code == 404
        assert (await carol.get(f"/api/v1/billing/refunds/{refund['id']}")).status_code == 404
        assert (await carol.get("/api/v1/billing/refunds")).json()["data"] == []
