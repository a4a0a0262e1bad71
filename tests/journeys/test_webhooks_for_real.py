"""The same webhook fifty times at once, before, after, during and without the return page; and forged ones."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import httpx
import pytest

from journeys.buyer import Buyer, buyer, signed
from support.pouch import Funds, RunningPouch, until

pytestmark = pytest.mark.anyio

TIMES = 50
PAID = "checkout.session.completed"


async def post_many(buyer: Buyer, event: dict[str, Any], times: int = TIMES) -> list[int]:
    """Post one event so many times at once, each over a connection of its own: the statuses."""
    body, headers = signed(event, buyer.pouch.ends.stripe_webhook_secret)
    limits = httpx.Limits(max_connections=times, max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=60, trust_env=False, limits=limits) as processor:
        url = f"{buyer.pouch.url}/webhooks/stripe"
        answers = await asyncio.gather(
            *(processor.post(url, content=body, headers=headers) for _ in range(times)),
        )
    return [answer.status_code for answer in answers]


async def assert_credited_once(buyer: Buyer) -> None:
    """One charge of the card, one credit, one line, one letter; the books agree."""
    pouch = buyer.pouch
    until(lambda: confirmations(buyer), what="the confirmation", log=pouch.log)
    assert await buyer.paid_cents() == [1000]
    assert pouch.balance(buyer.email) == Funds(Decimal(10))
    assert (await buyer.visit("/billing")).count('<data value="10.000000000" class="money--gain">') == 1
    assert confirmations(buyer) == ["You bought $10.00 of credits"]
    pouch.does("ledger", "check")


@pytest.mark.parametrize("turn", ["before", "after", "during", "without"])
async def test_the_same_webhook_fifty_times_at_once_credits_once(pouch: RunningPouch, turn: str) -> None:
    """Whatever the processor itself delivers meanwhile comes on top."""
    async with buyer(pouch, f"webhook-{turn}@example.com") as bob:
        return_page = await bob.pay(await bob.start())
        (event,) = await bob.events(PAID)
        match turn:
            case "before":
                statuses = await post_many(bob, event)
                assert "Your credits are here" in await bob.visit(return_page)
            case "after":
                assert "Your credits are here" in await bob.visit(return_page)
                statuses = await post_many(bob, event)
            case "during":
                visits = asyncio.gather(*(bob.visit(return_page) for _ in range(5)))
                statuses = await post_many(bob, event)
                assert all("Your credits are here" in page for page in await visits)
            case _:
                statuses = await post_many(bob, event)
        assert statuses == [200] * TIMES
        await assert_credited_once(bob)


async def test_many_events_about_one_payment_credit_once(pouch: RunningPouch) -> None:
    """Every event the processor has, each many times, oldest last."""
    async with buyer(pouch, "many-events@example.com") as bob:
        await bob.pay(await bob.start())
        events = [*await bob.events(PAID), *await bob.events("payment_intent.succeeded")]
        assert len(events) == 2
        statuses = await asyncio.gather(*(post_many(bob, event, 10) for event in events))
        assert statuses == [[200] * 10] * 2
        await assert_credited_once(bob)


async def test_a_forged_webhook_credits_nothing(pouch: RunningPouch) -> None:
    """Neither an event signed with another secret, nor one whose content was changed after signing."""
    secret = pouch.ends.stripe_webhook_secret
    async with buyer(pouch, "forger@example.com") as mallory:
        await mallory.start()
        event = await unpaid_event_that_says_paid(mallory)
        body, headers = signed(event, secret)
        forgeries = [signed(event, "whsec_guessed"), (body, {}), (body.replace(b"1000", b"9000"), headers)]
        for forged, with_headers in forgeries:
            answer = await mallory.client.post("/webhooks/stripe", content=forged, headers=with_headers)
            assert answer.status_code == 400
        assert pouch.balance(mallory.email) == Funds(Decimal(0))


async def test_what_a_signed_webhook_claims_is_not_believed(pouch: RunningPouch) -> None:
    """Even with the right signature it only says where to look: the processor itself knows of no payment."""
    async with buyer(pouch, "claimer@example.com") as mallory:
        await mallory.start()
        event = await unpaid_event_that_says_paid(mallory)
        assert await post_many(mallory, event, 5) == [200] * 5
        assert pouch.balance(mallory.email) == Funds(Decimal(0))
        assert confirmations(mallory) == []


def confirmations(buyer: Buyer) -> list[str]:
    """The letters about purchases, by their subjects."""
    subjects = [str(mail["subject"]) for mail in buyer.pouch.mails(buyer.email)]
    return [subject for subject in subjects if subject.startswith("You bought")]


async def unpaid_event_that_says_paid(buyer: Buyer) -> dict[str, Any]:
    """As if this person's open session had been paid."""
    (session,) = [each for each in await buyer.sessions() if each["payment_status"] == "unpaid"]
    paid = session | {"status": "complete", "payment_status": "paid"}
    head = {"id": f"evt_forged_{buyer.email[:6]}", "object": "event", "type": PAID, "created": session["created"]}
    event: dict[str, Any] = json.loads(json.dumps(head | {"livemode": False, "data": {"object": paid}}))
    return event
