"""Refunds and disputes through the whole product: desk, card processor, webhook, ledger, mail, and the books agree."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import httpx
import pytest

from journeys.buyer import PASSWORD, Buyer, buyer
from support.pouch import Funds, RunningPouch

pytestmark = pytest.mark.anyio

OPERATOR = "desk@example.com"


@asynccontextmanager
async def operator(pouch: RunningPouch) -> AsyncIterator[httpx.AsyncClient]:
    """Whoever runs this Pouch, signed in a moment ago."""
    pouch.cli("user", "add", OPERATOR, "--admin", "--password-stdin", input=PASSWORD)
    async with httpx.AsyncClient(
        base_url=pouch.url, headers={"origin": pouch.url}, timeout=60, trust_env=False
    ) as client:
        answer = await client.post("/sign-in", data={"email": OPERATOR, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        yield client


async def until(holds: Callable[[], bool]) -> None:
    """Webhooks and mail need a moment."""
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.2)


async def bought(alice: Buyer) -> str:
    """Alice buys $10; the purchase's address."""
    receipt = await alice.pay(await alice.start())
    assert "Your credits are here" in await alice.visit(receipt)
    return re.sub(r"\?.*", "", httpx.URL(receipt).path)


async def at_the_processor(alice: Buyer, path: str, **form: str) -> str:
    """What somebody does at the card processor's own site; the id of what it made."""
    headers = {"authorization": f"Bearer {alice.pouch.ends.stripe_secret_key}"}
    answer = await alice.client.post(f"/embedded/cards/v1{path}", data=form, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def charge_of(alice: Buyer) -> str:
    (charge,) = await alice.events("charge.succeeded")
    return str(charge["data"]["object"]["id"])


def has(pouch: RunningPouch, alice: Buyer, usd: str) -> Callable[[], bool]:
    return lambda: pouch.balance(alice.email) == Funds(Decimal(usd))


async def test_an_operator_refunds_and_the_buyer_reads_of_it(pouch: RunningPouch) -> None:
    async with buyer(pouch, "refunded@example.com") as alice, operator(pouch) as olga:
        purchase = (await bought(alice)).rpartition("/")[2]
        form = (await olga.get(f"/admin/purchases/{purchase}/refund")).text
        attempt = re.search(r'name="attempt" value="([^"]+)"', form)
        assert attempt is not None
        sent = {"amount_usd": "4", "attempt": attempt[1], "note": "Sorry"}
        for _ in range(2):
            answer = await olga.post(f"/admin/purchases/{purchase}/refund", data=sent)
            assert answer.status_code == 303, answer.text
        await until(has(pouch, alice, "6"))
        assert "$4.00 went back to your card" in await alice.visit(f"/billing/purchases/{purchase}")
        await until(lambda: any("goes back to your card" in mail["subject"] for mail in pouch.mails(alice.email)))
        assert "Partly refunded" in (await olga.get(f"/admin/purchases/{purchase}")).text
        assert (await alice.client.get("/admin")).status_code == 404


async def test_what_happens_at_the_processor_alone_reaches_the_books_by_webhook(pouch: RunningPouch) -> None:
    async with buyer(pouch, "disputed@example.com") as alice:
        await bought(alice)
        charge = await charge_of(alice)
        await at_the_processor(alice, "/refunds", charge=charge, amount="250")
        await until(has(pouch, alice, "7.5"))
        dispute = await at_the_processor(alice, "/test_helpers/disputes", charge=charge, amount="750")
        await until(has(pouch, alice, "0"))
        await at_the_processor(alice, f"/disputes/{dispute}", **{"evidence[uncategorized_text]": "winning_evidence"})
        await until(has(pouch, alice, "7.5"))
        await until(lambda: len(pouch.mails(alice.email)) >= 4)
    assert "0 differences" in pouch.does("payments", "reconcile")
    assert "0 differences" in pouch.does("ledger", "check")
