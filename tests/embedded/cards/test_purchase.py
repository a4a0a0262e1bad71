"""A purchase, from the SDK's first call to the webhook, over real sockets."""

import pytest

from support.cards import card_processor, open_session, uses_sdk, webhook

pytestmark = [pytest.mark.anyio, uses_sdk]


async def test_a_purchase_goes_through(database_url: str) -> None:
    """Alice buys $10: the page takes her card, the webhook hears of it, and every object tells the same story."""
    async with (
        webhook() as hook,
        card_processor(database_url, webhook_url=hook.url) as processor,
        processor.client() as client,
    ):
        alice = await client.v1.customers.create_async({"email": "alice@example.com", "metadata": {"org": "org_1"}})
        session = await open_session(
            client,
            1000,
            customer=alice.id,
            client_reference_id="pur_1",
            metadata={"purchase": "pur_1"},
            payment_intent_data={"metadata": {"purchase": "pur_1"}, "description": "Pouch credits"},
        )
        assert (session.status, session.payment_status, session.payment_intent) == ("open", "unpaid", None)
        assert session.livemode is False
        assert session.id.startswith("cs_test_")
        assert session.url == f"{processor.api_base}/pay/{session.id}"

        page = await processor.show(session.url)
        assert "TEST MODE" in page.text
        assert "alice@example.com" in page.text
        assert ">Pay $10.00</button>" in page.text
        left = await processor.pay(session.url)
        assert (left.status, left.location) == (303, f"http://127.0.0.1/back?session={session.id}")

        event = await hook.event("checkout.session.completed")
        assert event.data.object["id"] == session.id
        assert event.data.object["payment_status"] == "paid"

        paid = await client.v1.checkout.sessions.retrieve_async(
            session.id, {"expand": ["payment_intent.latest_charge", "payment_intent.payment_method", "line_items"]}
        )
        intent = paid.payment_intent
        assert intent is not None
        assert not isinstance(intent, str)
        charge, method = intent.latest_charge, intent.payment_method
        assert charge is not None
        assert not isinstance(charge, str)
        assert method is not None
        assert not isinstance(method, str)
        assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
        assert (paid.client_reference_id, paid.amount_total, paid.currency) == ("pur_1", 1000, "usd")
        assert (intent.status, intent.amount, intent.amount_received) == ("succeeded", 1000, 1000)
        assert intent.customer == alice.id
        assert intent.metadata["purchase"] == "pur_1"
        assert (charge.status, charge.paid, charge.payment_intent) == ("succeeded", True, intent.id)
        assert method.card is not None
        assert (method.card.brand, method.card.last4, method.card.exp_month, method.card.exp_year) == (
            "visa",
            "4242",
            12,
            2034,
        )
        assert paid.line_items is not None
        assert [line.description for line in paid.line_items.data] == ["Credits"]
        receipt = await processor.show(str(charge.receipt_url))
        assert "$10.00" in receipt.text
        assert "Visa ending 4242" in receipt.text


async def test_everything_that_happens_is_told_in_order(database_url: str) -> None:
    async with (
        webhook() as hook,
        card_processor(database_url, webhook_url=hook.url) as processor,
        processor.client() as client,
    ):
        session = await open_session(
            client, customer_email="alice@example.com", payment_intent_data={"setup_future_usage": "off_session"}
        )
        await processor.pay(session.id)
        types = [(await hook.next()).type for _ in range(6)]
    assert types == [
        "customer.created",
        "payment_intent.created",
        "payment_method.attached",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]


async def test_a_bank_debit_completes_unpaid_and_pays_later(database_url: str) -> None:
    async with (
        webhook() as hook,
        card_processor(database_url, webhook_url=hook.url, settle_after_s=0) as processor,
        processor.client() as client,
    ):
        session = await open_session(client)
        left = await processor.pay(session.id, number="000123456789", expiration="", cvc="")
        assert left.location == f"http://127.0.0.1/back?session={session.id}"
        completed = await hook.event("checkout.session.completed")
        assert completed.data.object["payment_status"] == "unpaid"
        await processor.processor.tend()
        settled = await hook.event("checkout.session.async_payment_succeeded")
        assert settled.data.object["payment_status"] == "paid"
        (charge,) = (await client.v1.charges.list_async()).data
        assert "Stripe test bank ending 6789" in (await processor.show(str(charge.receipt_url))).text


async def test_a_bank_debit_may_fail_later(database_url: str) -> None:
    async with (
        webhook() as hook,
        card_processor(database_url, webhook_url=hook.url, settle_after_s=0) as processor,
        processor.client() as client,
    ):
        session = await open_session(client)
        await processor.pay(session.id, number="000222222227", expiration="", cvc="")
        await processor.processor.tend()
        failed = await hook.event("checkout.session.async_payment_failed")
        assert failed.data.object["payment_status"] == "unpaid"
        again = await client.v1.checkout.sessions.retrieve_async(session.id, {"expand": ["payment_intent"]})
        assert again.payment_intent is not None
        assert not isinstance(again.payment_intent, str)
        assert again.payment_intent.status == "requires_payment_method"
        assert again.payment_intent.last_payment_error is not None
        assert again.payment_intent.last_payment_error.code == "debit_not_authorized"
