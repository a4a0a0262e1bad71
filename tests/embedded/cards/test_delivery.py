"""Events reach the webhook: signed, again until it says 200, and as badly as the switches ask for."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import stripe

from support.cards import Webhook, card_processor, open_session, uses_sdk, webhook

pytestmark = [pytest.mark.anyio, uses_sdk]


async def test_the_signature_is_of_the_raw_body(database_url: str) -> None:
    async with (
        webhook() as hook,
        card_processor(database_url, webhook_url=hook.url) as processor,
        processor.client() as client,
    ):
        await client.v1.customers.create_async({"name": "Zoë 💸"})
        body, signature = await asyncio.wait_for(hook.posts.get(), 10)
        assert signature.startswith("t=")
        event = stripe.Webhook.construct_event(body, signature, processor.webhook_secret)
        assert (event.type, event.livemode) == ("customer.created", False)
        assert event.data.object["name"] == "Zoë 💸"
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body + b" ", signature, processor.webhook_secret)
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body, signature, "whsec_other")


async def test_an_event_comes_again_until_it_is_accepted(database_url: str) -> None:
    async with (
        webhook() as hook,
        card_processor(database_url, webhook_url=hook.url, retry_delays_s=(0,)) as processor,
        processor.client() as client,
    ):
        hook.statuses = [500, 404, 302]
        await client.v1.customers.create_async({})
        tries = [(await hook.next()).id for _ in range(4)]
        assert len(set(tries)) == 1
        await settled(client, hook)
        assert hook.posts.empty()


async def test_a_webhook_that_is_away_gets_its_events_later(database_url: str) -> None:
    """Each failure makes the next pause longer; after three days nobody tries any more."""
    now = datetime.now(UTC)
    async with (
        webhook() as hook,
        card_processor(database_url, clock=lambda: now, retry_delays_s=(60, 3600), delivers=False) as processor,
        processor.client() as client,
    ):
        await client.v1.customers.create_async({})
        hook.statuses = [500, 503]
        processor.listen(hook.url)
        for pause_s, tries in ((0, 1), (59, 0), (1, 1), (3599, 0), (1, 1), (86400, 0)):
            now += timedelta(seconds=pause_s)
            await processor.deliver_once()
            assert hook.posts.qsize() == tries
            for _ in range(tries):
                await hook.next()
        assert (await client.v1.events.list_async({"delivery_success": False})).data == []

        await client.v1.customers.create_async({})
        # Nothing listens at this address: connections are refused.
        processor.listen("http://127.0.0.1:9/webhooks/stripe")
        await processor.deliver_once()
        now += timedelta(days=3, seconds=1)
        await processor.deliver_once()
        processor.listen(hook.url)
        now += timedelta(days=1)
        await processor.deliver_once()
        assert hook.posts.empty()
        assert len((await client.v1.events.list_async({"delivery_success": False})).data) == 1


async def test_duplicates_can_be_asked_for(database_url: str) -> None:
    async with (
        webhook() as hook,
        card_processor(database_url, webhook_url=hook.url, duplicate=2) as processor,
        processor.client() as client,
    ):
        await client.v1.customers.create_async({})
        assert len({(await hook.next()).id for _ in range(3)}) == 1


async def test_dropped_events_never_come_but_stay_listed(database_url: str) -> None:
    async with (
        webhook() as hook,
        card_processor(database_url, webhook_url=hook.url, drop=True, delivers=False) as processor,
        processor.client() as client,
    ):
        await client.v1.customers.create_async({"name": "dropped"})
        await processor.deliver_once()
        processor.faults.drop = False
        await client.v1.customers.create_async({"name": "sent"})
        await processor.deliver_once()
        assert (await hook.next()).data.object["name"] == "sent"
        lost = await client.v1.events.list_async({"delivery_success": False})
        assert [event.data.object["name"] for event in lost.data] == ["dropped"]


async def test_events_can_come_in_the_wrong_order(database_url: str) -> None:
    async with (
        webhook() as hook,
        card_processor(database_url, reorder=True, delivers=False) as processor,
        processor.client() as client,
    ):
        session = await open_session(client)
        await processor.pay(session.id)
        processor.listen(hook.url)
        await processor.deliver_once()
        types = [(await hook.next()).type for _ in range(4)]
    assert types == [
        "checkout.session.completed",
        "payment_intent.succeeded",
        "charge.succeeded",
        "payment_intent.created",
    ]


async def test_delayed_events_are_not_due_yet(database_url: str) -> None:
    async with (
        webhook() as hook,
        card_processor(database_url, webhook_url=hook.url, delay_s=3600, delivers=False) as processor,
        processor.client() as client,
    ):
        await client.v1.customers.create_async({})
        await processor.deliver_once()
        assert hook.posts.empty()
        processor.faults.delay_s = 0
        await processor.deliver_once()
        assert (await hook.next()).type == "customer.created"


async def test_two_processes_send_each_event_once(database_url: str) -> None:
    async with (
        webhook() as hook,
        card_processor(database_url, delivers=False) as one,
        card_processor(database_url, delivers=False) as other,
        one.client() as client,
    ):
        made = {(await client.v1.customers.create_async({})).id for _ in range(10)}
        for processor in (one, other):
            processor.listen(hook.url)
        await asyncio.gather(one.deliver_once(), other.deliver_once())
        sent = [(await hook.next()).data.object["id"] for _ in range(10)]
        assert set(sent) == made
        assert hook.posts.empty()


async def settled(client: stripe.StripeClient, hook: Webhook) -> None:
    """Wait until every event is marked as delivered."""
    async with asyncio.timeout(10):
        while (await client.v1.events.list_async({"delivery_success": False})).data:
            assert hook.url
