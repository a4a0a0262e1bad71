"""A purchase with emulate as `stripe_api_base`: emulate's customer, prices, hosted page, payment and signed event."""

import asyncio
import json

import httpx
import pytest
import stripe
from pydantic import TypeAdapter

from contract.bridge import EmulateBridge, with_id
from contract.counter import counter_at
from contract.events import Events
from contract.programs import WEBHOOK_SECRET
from pouch.base.money import ZERO, Money
from pouch.embedded.cards.delivery import sign
from pouch.payments.types import Session
from pouch.payments.verdict import judge

pytestmark = pytest.mark.anyio

Emulate = tuple[EmulateBridge, str]


async def press_pay(client: httpx.AsyncClient, page: str) -> str:
    """Use emulate's own payment page: where it leads."""
    shown = await client.get(page)
    assert shown.is_success
    assert "Pay $10.00" in shown.text
    answer = await client.post(f"{page}/complete")
    assert answer.status_code == 302
    return answer.headers["location"]


async def test_ten_dollars_are_bought(emulate: Emulate, client: httpx.AsyncClient, database_url: str) -> None:
    """The page that Pouch sends Alice to, the way back, the credits in the ledger; a second look changes nothing."""
    async with counter_at(emulate[1], database_url) as counter:
        purchase = await counter.start()
        assert (purchase.state, purchase.mode) == ("open", "test")
        back = await press_pay(client, str(purchase.session_url))
        assert back == f"{counter.pouch.checkout.page_of(purchase)}?from=checkout"
        assert await counter.has() == ZERO
        for _ in range(2):
            assert (await counter.pouch.sync.purchase(purchase.id)).state == "credited"
            assert await counter.has() == Money.parse("10")
        assert await counter.letters() == ["purchase"]


async def test_the_event_that_emulate_signs_brings_the_credits_once_it_has_an_id(
    emulate: Emulate, emulate_events: Events, client: httpx.AsyncClient, database_url: str
) -> None:
    """The signature is good, and no event of Stripe's is without an id; with one, signed again by us, it credits."""
    async with counter_at(emulate[1], database_url) as counter:
        purchase = await counter.start()
        await press_pay(client, str(purchase.session_url))
        body, signature = await about(emulate_events, str(purchase.session_id))
        assert stripe.WebhookSignature.verify_header(body.decode(), signature, WEBHOOK_SECRET, 300)
        event = json.loads(body)
        assert (event["type"], "id" in event) == ("checkout.session.completed", False)
        assert await counter.pouch.post(body, signature) == 400
        assert await counter.has() == ZERO
        signed_again = json.dumps(with_id(event, "evt_emulate_1")).encode()
        for _ in range(2):
            assert await counter.pouch.post(signed_again, sign(signed_again, WEBHOOK_SECRET)) == 200
        assert await counter.has() == Money.parse("10")


async def about(events: Events, object_id: str) -> tuple[bytes, str]:
    """The event about an object, with its signature."""
    while True:
        body, signature = await asyncio.to_thread(events.next)
        if json.loads(body)["data"]["object"]["id"] == object_id:
            return body, signature


async def test_a_page_that_is_paid_without_a_payment_credits_nothing(
    emulate: Emulate, client: httpx.AsyncClient, database_url: str
) -> None:
    """What emulate alone says of a paid session, word for word: complete, paid, and no payment."""
    bridge, url = emulate
    async with counter_at(url, database_url) as counter:
        purchase = await counter.start()
        await press_pay(client, str(purchase.session_url))
        alone = await bridge.ask("GET", f"/v1/checkout/sessions/{purchase.session_id}")
        assert (alone["status"], alone["payment_status"], "payment_intent" in alone) == ("complete", "paid", False)
    said = alone | {"client_reference_id": purchase.shown_id}
    assert judge(purchase, purchase.session_id, TypeAdapter(Session).validate_python(said)).what == "processing"
