"""The hosted page, driven over HTTP as a browser without JavaScript would."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from support.cards import card_processor, open_session, problem_on, uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]

DECLINES = {
    "4000000000000002": ("card_declined", "generic_decline", "Your card was declined."),
    "4000000000009995": ("card_declined", "insufficient_funds", "Your card has insufficient funds."),
    "4000000000000069": ("expired_card", "expired_card", "Your card has expired."),
    "4000000000000127": ("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."),
    "4000000000000119": ("processing_error", "processing_error", "An error occurred while processing your card."),
}
GOOD = {
    "4242 4242 4242 4242": ("visa", "123"),
    "5555-5555-5555-4444": ("mastercard", "123"),
    "378282246310005": ("amex", "1234"),
    "4000000000000259": ("visa", "123"),
    "4000000000000341": ("visa", "123"),
}


async def test_the_page_has_the_labels_that_people_and_scripts_rely_on(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        page = await processor.show((await open_session(client, 123_456)).id)
    for label in ("Card number", "Expiration", "CVC"):
        assert page.text.count(f">{label}</label>") == 1
    assert ">Pay $1,234.56</button>" in page.text
    assert "4000 0000 0000 9995" in page.text
    assert 'href="http://127.0.0.1/billing"' in page.text
    assert "<script" not in page.text
    assert "style=" not in page.text


@pytest.mark.parametrize("number", GOOD)
async def test_a_good_card_pays(database_url: str, number: str) -> None:
    brand, cvc = GOOD[number]
    async with card_processor(database_url) as processor, processor.client() as client:
        session = await open_session(client)
        assert (await processor.pay(session.id, number=number, cvc=cvc)).location is not None
        paid = await client.v1.checkout.sessions.retrieve_async(
            session.id, {"expand": ["payment_intent.payment_method"]}
        )
        assert paid.payment_status == "paid"
        method = paid.payment_intent.payment_method  # type: ignore[union-attr]  # expanded
        assert method.card.brand == brand  # type: ignore[union-attr]  # expanded


@pytest.mark.parametrize("number", DECLINES)
async def test_a_declined_card_can_be_followed_by_another(database_url: str, number: str) -> None:
    """The page says why, the session stays open, and the same payment is paid with the next card."""
    code, decline_code, message = DECLINES[number]
    async with card_processor(database_url) as processor, processor.client() as client:
        session = await open_session(client)
        refused = await processor.pay(session.id, number=number)
        assert refused.location is None
        assert str(problem_on(refused)).startswith(message)
        failed = await client.v1.checkout.sessions.retrieve_async(session.id, {"expand": ["payment_intent"]})
        error = failed.payment_intent.last_payment_error  # type: ignore[union-attr]  # expanded
        assert (failed.status, failed.payment_status) == ("open", "unpaid")
        assert error is not None
        assert (error.type, error.code, error.decline_code) == ("card_error", code, decline_code)

        assert (await processor.pay(session.id)).location is not None
        paid = await client.v1.checkout.sessions.retrieve_async(session.id, {"expand": ["payment_intent"]})
        assert paid.payment_intent.id == failed.payment_intent.id  # type: ignore[union-attr]  # expanded
        assert paid.payment_intent.last_payment_error is None  # type: ignore[union-attr]  # expanded
        charges = await client.v1.charges.list_async()
        assert [charge.status for charge in charges.data] == ["succeeded", "failed"]


@pytest.mark.parametrize("number", ["4000002500003155", "4000002760003184"])
async def test_the_bank_asks_and_the_buyer_confirms(database_url: str, number: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        session = await open_session(client)
        asked = await processor.pay(session.id, number=number, authentication=None)
        assert ">Complete authentication</button>" in asked.text
        assert ">Fail authentication</button>" in asked.text
        waiting = await client.v1.checkout.sessions.retrieve_async(session.id, {"expand": ["payment_intent"]})
        assert waiting.payment_intent.status == "requires_action"  # type: ignore[union-attr]  # expanded
        # Coming back to the page later finds the same question.
        assert "Complete authentication" in (await processor.show(session.id)).text
        done = await processor.browser.post(f"{session.url}/authentication", data={"outcome": "complete"})
        assert done.headers["location"] == f"http://127.0.0.1/back?session={session.id}"


async def test_a_failed_confirmation_moves_nothing(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        session = await open_session(client)
        failed = await processor.pay(session.id, number="4000002760003184", authentication="fail")
        assert str(problem_on(failed)).startswith("We are unable to authenticate your payment method.")
        assert (await client.v1.charges.list_async()).data == []
        assert (await processor.pay(session.id)).location is not None


NOT_TEST_CARDS = [
    ({"number": "4111111111111111"}, "Only test cards work here."),
    ({"number": ""}, "Only test cards work here."),
    ({"number": "\u0664\u0662" * 8}, "Only test cards work here."),
    ({"expiration": "01 / 20"}, "Your card's expiration date is in the past."),
    ({"expiration": "13 / 34"}, "Write the expiration as month and year"),
    ({"expiration": ""}, "Write the expiration as month and year"),
    ({"cvc": "12"}, "Your card's security code has 3 digits."),
    ({"number": "378282246310005", "cvc": "123"}, "Your card's security code has 4 digits."),
]


async def test_what_cannot_be_a_test_card_is_refused(database_url: str) -> None:
    """Nothing is tried, nothing is kept, and a number that may be real is not even shown again."""
    async with card_processor(database_url) as processor, processor.client() as client:
        session = await open_session(client)
        for typed, problem in NOT_TEST_CARDS:
            page = await processor.pay(session.id, **typed)
            assert page.status == 400
            assert str(problem_on(page)).startswith(problem)
            assert "4111111111111111" not in page.text
        assert (await client.v1.payment_intents.list_async()).data == []


async def test_a_chosen_test_card_needs_no_typing_but_a_typed_number_wins(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        chosen, typed = await open_session(client), await open_session(client)
        empty = {"number": "", "expiration": "", "cvc": "", "outcome": "mastercard"}
        left = await processor.browser.post(str(chosen.url), data=empty)
        assert left.status_code == 303
        left = await processor.browser.post(
            str(typed.url),
            data={"number": "4242424242424242", "expiration": "12/34", "cvc": "123", "outcome": "declined"},
        )
        assert left.headers["location"].endswith(typed.id)


async def test_a_session_for_cards_takes_no_bank_debit(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        session = await open_session(client, payment_method_types=["card"])
        assert "Bank debit" not in (await processor.show(session.id)).text
        page = await processor.pay(session.id, number="000123456789")
        assert problem_on(page) == "This payment takes cards only."
        assert (await client.v1.payment_intents.list_async()).data == []


async def test_two_clicks_pay_once(database_url: str) -> None:
    async with card_processor(database_url) as processor, processor.client() as client:
        session = await open_session(client)
        answers = await asyncio.gather(*(processor.pay(session.id) for _ in range(5)))
        assert {answer.location for answer in answers} == {f"http://127.0.0.1/back?session={session.id}"}
        assert len((await client.v1.charges.list_async()).data) == 1
        assert len((await client.v1.events.list_async({"type": "checkout.session.completed"})).data) == 1
        # The way back in a browser's history leads on, too.
        assert (await processor.show(session.id)).status == 303


async def test_an_expired_session_cannot_be_paid(database_url: str) -> None:
    now = datetime.now(UTC)
    async with card_processor(database_url, clock=lambda: now) as processor, processor.client() as client:
        late, expired = await open_session(client), await open_session(client)
        await client.v1.checkout.sessions.expire_async(expired.id)
        now += timedelta(hours=24)
        for session in (late, expired):
            assert (await processor.show(session.id)).status == 410
            page = await processor.pay(session.id)
            assert page.status == 410
            assert "This payment page has expired" in page.text
        assert (await client.v1.payment_intents.list_async()).data == []


async def test_a_page_that_never_was_is_not_there(database_url: str) -> None:
    async with card_processor(database_url) as processor:
        for session_id in ("cs_test_nothing", "%00"):
            assert (await processor.show(session_id)).status == 404
        assert (await processor.pay("cs_test_nothing")).status == 404
        assert (await processor.show(f"{processor.api_base}/receipts/ch_nothing")).status == 404
