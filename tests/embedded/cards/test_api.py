"""The REST protocol: keys, errors, lists, expansion."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from support.cards import card_processor, open_session, uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]


async def test_a_wrong_key_sees_nothing(database_url: str) -> None:
    async with card_processor(database_url) as processor:
        for authorization in (None, "Bearer sk_live_of_another_house", "Bearer", "Basic c2s6", "sk_test_fixture"):
            headers = {"authorization": authorization} if authorization else {}
            answer = await processor.browser.get(f"{processor.api_base}/v1/customers", headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "invalid_request_error"
            assert "sk_live" not in answer.text


async def test_the_sdk_reads_a_wrong_key_as_such(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        with pytest.raises(stripe.AuthenticationError):
            await client.v1.customers.list_async({}, {"api_key": "sk_test_wrong"})


async def test_every_answer_names_its_request_and_version(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        customer = await client.v1.customers.create_async({}, {"stripe_version": "2026-10-28.endive"})
        assert customer.last_response is not None
        assert str(customer.last_response.request_id).startswith("req_")
        assert customer.last_response.headers["stripe-version"] == "2026-10-28.endive"


async def test_what_is_not_there_is_a_typed_error(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        with pytest.raises(stripe.InvalidRequestError) as missing:
            await client.v1.payment_intents.retrieve_async("pi_nothing")
        assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
        with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
            await client.v1.products.list_async()


WRONG_PARAMETERS: list[tuple[Any, str | None, str]] = [
    ({"emial": "alice@example.com"}, "parameter_unknown", "emial"),
    ({"invoice_settings": {"footer": "x"}}, "parameter_unknown", "invoice_settings[footer]"),
    ({"metadata": {"a": "b" * 501}}, None, "metadata[a]"),
    ({"metadata": {"k" * 41: "b"}}, None, f"metadata[{'k' * 41}]"),
]


async def test_a_parameter_that_cannot_be_is_refused_by_name(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        customer = await client.v1.customers.create_async({})
        for params, code, param in WRONG_PARAMETERS:
            with pytest.raises(stripe.InvalidRequestError) as refused:
                await client.v1.customers.update_async(customer.id, params)
            assert (refused.value.code, refused.value.param) == (code, param)


WRONG_SESSIONS: list[tuple[str, Any]] = [
    ("mode", "subscription"),
    ("success_url", ""),
    ("success_url", "javascript:alert(1)"),
    ("customer", "cus_nothing"),
    ("line_items", []),
    ("expires_at", 60),
    ("expires_at", 99_999_999_999),
    ("payment_method_types", ["paypal"]),
]


async def test_a_session_that_stripe_would_refuse_is_refused(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        for param, value in WRONG_SESSIONS:
            with pytest.raises(stripe.InvalidRequestError) as refused:
                await open_session(client, **{param: value})
            assert refused.value.param == param
        assert (await client.v1.checkout.sessions.list_async()).data == []


async def test_metadata_is_laid_over_what_was_there(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        customer = await client.v1.customers.create_async({"metadata": {"a": "1", "b": "2"}})
        customer = await client.v1.customers.update_async(
            customer.id, {"metadata": {"a": "", "c": "3"}, "name": "Alice"}
        )
        assert customer.metadata is not None
        assert customer.metadata.to_dict() == {"b": "2", "c": "3"}
        assert customer.name == "Alice"


async def test_lists_are_read_page_by_page_in_both_directions(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        made = [(await client.v1.customers.create_async({})).id for _ in range(5)][::-1]
        first = await client.v1.customers.list_async({"limit": 2})
        assert first.url == "/v1/customers"
        assert ([customer.id for customer in first.data], first.has_more) == (made[:2], True)
        rest = await client.v1.customers.list_async({"limit": 3, "starting_after": made[1]})
        assert ([customer.id for customer in rest.data], rest.has_more) == (made[2:], False)
        back = await client.v1.customers.list_async({"limit": 1, "ending_before": made[2]})
        assert ([customer.id for customer in back.data], back.has_more) == ([made[1]], True)
        everyone = await client.v1.customers.list_async({"limit": 2})
        assert [customer.id async for customer in everyone.auto_paging_iter()] == made


async def test_lists_are_narrowed(database_url: str) -> None:
    now = datetime.now(UTC)
    async with card_processor(database_url, clock=lambda: now) as processor, processor.client() as client:
        alice, carol = [await client.v1.customers.create_async({}) for _ in range(2)]
        session = await open_session(client, customer=alice.id)
        await processor.pay(session.id)
        now += timedelta(minutes=5)
        await processor.pay((await open_session(client, customer=carol.id)).id)
        (intent,) = (await client.v1.payment_intents.list_async({"customer": alice.id})).data
        assert intent.customer == alice.id
        (recent,) = (await client.v1.payment_intents.list_async({"created": {"gte": int(now.timestamp()) - 60}})).data
        assert recent.customer == carol.id
        (found,) = (await client.v1.checkout.sessions.list_async({"payment_intent": intent.id})).data
        assert found.id == session.id
        events = await client.v1.events.list_async({"types": ["charge.succeeded", "customer.created"]})
        assert len(events.data) == 4


async def test_an_event_keeps_the_object_as_it_was(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        customer = await client.v1.customers.create_async({"name": "before"})
        await client.v1.customers.update_async(customer.id, {"name": "after"})
        (created,) = (await client.v1.events.list_async({"type": "customer.created"})).data
        event = await client.v1.events.retrieve_async(created.id)
        assert event.data.object["name"] == "before"


async def test_only_references_can_be_expanded(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        customer = await client.v1.customers.create_async({"email": "alice@example.com"})
        session = await open_session(client, customer=customer.id, expand=["customer", "line_items"])
        assert session.customer.email == "alice@example.com"  # type: ignore[union-attr]  # expanded
        listed = await client.v1.checkout.sessions.list_async({"expand": ["data.customer"]})
        assert listed.data[0].customer.id == customer.id  # type: ignore[union-attr]  # expanded
        for path in ("amount_total", "nothing", "payment_intent.a.b.c.d"):
            with pytest.raises(stripe.InvalidRequestError):
                await client.v1.checkout.sessions.retrieve_async(session.id, {"expand": [path]})
