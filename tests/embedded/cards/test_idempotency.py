"""The idempotency contract of Stripe's first API version."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import stripe
from psycopg import AsyncConnection

from support.cards import card_processor, uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]


async def test_a_repeated_request_gets_the_first_answer(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        first = await client.v1.customers.create_async({"email": "alice@example.com"}, {"idempotency_key": "cust:1"})
        again = await client.v1.customers.create_async({"email": "alice@example.com"}, {"idempotency_key": "cust:1"})
        assert again.id == first.id
        assert again.last_response is not None
        assert again.last_response.headers["idempotent-replayed"] == "true"
        assert len((await client.v1.customers.list_async()).data) == 1


async def test_the_same_key_with_other_parameters_is_refused(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        await client.v1.customers.create_async({"email": "alice@example.com"}, {"idempotency_key": "cust:1"})
        with pytest.raises(stripe.IdempotencyError) as refused:
            await client.v1.customers.create_async({"email": "bob@example.com"}, {"idempotency_key": "cust:1"})
        assert refused.value.http_status == 400
        with pytest.raises(stripe.IdempotencyError):
            await client.v1.payment_intents.create_async(
                {"amount": 1000, "currency": "usd"}, {"idempotency_key": "cust:1"}
            )
        assert len((await client.v1.customers.list_async()).data) == 1


async def test_a_request_beside_its_twin_conflicts(database_url: str) -> None:
    """While the first request with a key is still running, the second gets 409; with patience it gets the answer."""
    async with (
        card_processor(database_url) as processor,
        processor.client() as client,
        processor.client(max_network_retries=5) as patient,
        await AsyncConnection.connect(database_url) as first,
    ):
        # Holds what a running request with this key holds.
        await first.execute("SELECT pg_advisory_xact_lock(hashtextextended('cust:1', 9))")
        with pytest.raises(stripe.APIError) as conflict:
            await client.v1.customers.create_async({}, {"idempotency_key": "cust:1"})
        assert conflict.value.http_status == 409
        waiting = asyncio.create_task(patient.v1.customers.create_async({}, {"idempotency_key": "cust:1"}))
        await first.rollback()
        assert (await waiting).id == (await client.v1.customers.create_async({}, {"idempotency_key": "cust:1"})).id


async def test_many_twins_at_once_act_once(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client(max_network_retries=10) as client:
        sessions = await asyncio.gather(
            *(open_session_with_key(client, "co:1", "purchase 1") for _ in range(10)), return_exceptions=True
        )
        ids = {session for session in sessions if isinstance(session, str)}
        assert len(ids) == 1
        assert len((await client.v1.checkout.sessions.list_async()).data) == 1


async def test_a_failure_is_remembered_like_a_success(database_url: str) -> None:
    async with card_processor(database_url, break_answers=1) as processor, processor.client() as client:
        for _ in range(2):
            with pytest.raises(stripe.APIError) as broken:
                await client.v1.customers.create_async({}, {"idempotency_key": "cust:1"})
            assert broken.value.http_status == 500
        assert (await client.v1.customers.list_async()).data == []
        await client.v1.customers.create_async({}, {"idempotency_key": "cust:2"})


async def test_a_request_that_was_refused_before_it_began_is_not_remembered(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await client.v1.payment_intents.create_async({"amount": 1, "currency": "usd"}, {"idempotency_key": "pi:1"})
        assert (refused.value.code, refused.value.param) == ("amount_too_small", "amount")
        await client.v1.payment_intents.create_async({"amount": 1000, "currency": "usd"}, {"idempotency_key": "pi:1"})


async def test_a_lost_answer_is_got_by_asking_again(database_url: str) -> None:
    """The work was done but the answer never came: the same key brings it, and nothing happens twice."""
    async with card_processor(database_url, lose_answers=1) as processor, processor.client() as client:
        with pytest.raises(stripe.APIError) as lost:
            await client.v1.customers.create_async({}, {"idempotency_key": "cust:1"})
        assert lost.value.http_status == 502
        again = await client.v1.customers.create_async({}, {"idempotency_key": "cust:1"})
        assert [customer.id for customer in (await client.v1.customers.list_async()).data] == [again.id]


async def test_a_key_acts_anew_after_a_day(database_url: str) -> None:
    now = datetime.now(UTC)
    async with card_processor(database_url, clock=lambda: now) as processor, processor.client() as client:
        first = await client.v1.customers.create_async({}, {"idempotency_key": "cust:1"})
        now += timedelta(hours=24, seconds=1)
        assert (await client.v1.customers.create_async({}, {"idempotency_key": "cust:1"})).id != first.id


async def test_a_key_has_a_length(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        await client.v1.customers.create_async({}, {"idempotency_key": "k" * 255})
        with pytest.raises(stripe.IdempotencyError):
            await client.v1.customers.create_async({}, {"idempotency_key": "k" * 256})


async def open_session_with_key(client: stripe.StripeClient, key: str, reference: str) -> str:
    session = await client.v1.checkout.sessions.create_async(
        {
            "mode": "payment",
            "client_reference_id": reference,
            "success_url": "http://127.0.0.1/back",
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {"currency": "usd", "unit_amount": 500, "product_data": {"name": "Credits"}},
                }
            ],
        },
        {"idempotency_key": key},
    )
    return session.id
