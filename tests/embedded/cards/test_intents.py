"""Charging a saved card, as an automatic top-up does."""

from typing import Any

import pytest
import stripe

from support.cards import RunningProcessor, card_processor, open_session, uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]


async def test_a_saved_card_is_charged_without_its_owner(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        params = await saved_card(processor, client, "4242424242424242")
        intent = await client.v1.payment_intents.create_async(params, {"idempotency_key": "pi:1"})
        assert (intent.status, intent.amount_received) == ("succeeded", 2000)
        assert (await client.v1.payment_intents.create_async(params, {"idempotency_key": "pi:1"})).id == intent.id
        assert len((await client.v1.charges.list_async({"payment_intent": intent.id})).data) == 1


@pytest.mark.parametrize(
    ("number", "code", "decline_code"),
    [
        ("4000000000000341", "card_declined", "generic_decline"),
        ("4000002760003184", "authentication_required", "authentication_required"),
    ],
)
async def test_a_saved_card_may_be_declined(database_url: str, number: str, code: str, decline_code: str) -> None:
    """The error carries the payment, which waits for another card; asked again with the same key, it says the same."""
    async with card_processor(database_url) as processor, processor.client() as client:
        params = await saved_card(processor, client, number)
        errors = []
        for _ in range(2):
            with pytest.raises(stripe.CardError) as declined:
                await client.v1.payment_intents.create_async(params, {"idempotency_key": "pi:1"})
            errors.append(declined.value.error)
        error = errors[0]
        assert error is not None
        assert error.payment_intent is not None
        assert (error.code, error.decline_code) == (code, decline_code)
        assert error.payment_intent.status == "requires_payment_method"
        assert error.charge == error.payment_intent.latest_charge
        assert errors[1] is not None
        assert errors[1].payment_intent is not None
        assert errors[1].payment_intent.id == error.payment_intent.id
        assert len((await client.v1.charges.list_async({"payment_intent": error.payment_intent.id})).data) == 1


async def test_a_card_confirmed_while_saving_is_not_asked_again(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        params = await saved_card(processor, client, "4000002500003155")
        assert (await client.v1.payment_intents.create_async(params)).status == "succeeded"


async def test_a_card_that_was_not_saved_cannot_be_charged_again(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        params = await saved_card(processor, client, "4242424242424242", keep=False)
        with pytest.raises(stripe.InvalidRequestError):
            await client.v1.payment_intents.create_async(params)
        assert len((await client.v1.payment_intents.list_async()).data) == 1


async def test_carol_cannot_pay_with_the_card_of_alice(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        params = await saved_card(processor, client, "4242424242424242")
        carol = await client.v1.customers.create_async({})
        with pytest.raises(stripe.InvalidRequestError, match="does not have a payment method"):
            await client.v1.payment_intents.create_async(params | {"customer": carol.id})
        with pytest.raises(stripe.InvalidRequestError):
            await client.v1.customers.update_async(
                carol.id, {"invoice_settings": {"default_payment_method": params["payment_method"]}}
            )


async def test_a_payment_can_be_confirmed_later_and_only_once(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        params = await saved_card(processor, client, "4242424242424242")
        intent = await client.v1.payment_intents.create_async(
            {"amount": 700, "currency": "usd", "customer": params["customer"]}
        )
        assert intent.status == "requires_payment_method"
        confirm: Any = {"payment_method": params["payment_method"], "off_session": True}
        assert (await client.v1.payment_intents.confirm_async(intent.id, confirm)).status == "succeeded"
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await client.v1.payment_intents.confirm_async(intent.id, confirm)
        assert refused.value.code == "payment_intent_unexpected_state"


async def test_a_cancelled_payment_stays_cancelled(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        params = await saved_card(processor, client, "4242424242424242")
        intent = await client.v1.payment_intents.create_async(
            {"amount": 700, "currency": "usd", "customer": params["customer"]}
        )
        cancelled = await client.v1.payment_intents.cancel_async(intent.id, {"cancellation_reason": "abandoned"})
        assert (cancelled.status, cancelled.cancellation_reason) == ("canceled", "abandoned")
        with pytest.raises(stripe.InvalidRequestError):
            await client.v1.payment_intents.confirm_async(intent.id, {"payment_method": params["payment_method"]})


async def saved_card(
    processor: RunningProcessor, client: stripe.StripeClient, number: str, *, keep: bool = True
) -> Any:
    """Alice buys and saves her card; gives what charges it again."""
    alice = await client.v1.customers.create_async({"email": "alice@example.com"})
    data = {"setup_future_usage": "off_session"} if keep else {}
    session = await open_session(client, customer=alice.id, payment_intent_data=data)
    assert (await processor.pay(session.id, number=number)).location is not None
    (intent,) = (await client.v1.payment_intents.list_async({"customer": alice.id})).data
    return {
        "amount": 2000,
        "currency": "usd",
        "customer": alice.id,
        "payment_method": intent.payment_method,
        "off_session": True,
        "confirm": True,
    }
