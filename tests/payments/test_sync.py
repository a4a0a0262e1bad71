"""Bringing a purchase up to date: what the processor's objects say decides, and it is done once."""

import asyncio

import pytest

from payments.shop import ALICE, OpenShop, Pouch, Shop
from pouch.base.money import Money
from pouch.mail.templates import Templates
from pouch.payments.errors import ProcessorSilent
from pouch.payments.hooks import Nobody
from pouch.payments.settlement import settle

pytestmark = pytest.mark.anyio


async def test_the_return_page_credits_without_any_webhook(shop: Shop) -> None:
    """Story 12: paid, and back on our page before any event."""
    purchase = await shop.start()
    await shop.pay(purchase)
    shown = await shop.pouch.sync.visit(shop.alice, purchase.id)
    assert shown is not None
    assert (shown.state, shown.card) == ("credited", "Visa ending 4242")
    await shop.assert_credited_once()


async def test_the_mail_says_what_a_receipt_says(shop: Shop) -> None:
    purchase = await shop.start("25.00")
    await shop.pay(purchase)
    credited = await shop.pouch.sync.purchase(purchase.id)
    async with shop.database.transaction() as db:
        rows = await db.execute("SELECT key, to_address, kind, context FROM mail_letters")
        key, to, kind, context = (await rows.fetchall())[0]
    assert (key, to, kind) == (f"purchase:{purchase.id}", ALICE, "purchase")
    time = context.pop("time")
    assert time.endswith(" UTC")
    assert context == {
        "amount": "$25.00",
        "available": "$25.00",
        "before": "$0.00",
        "fee": "",
        "tax": "",
        "tax_name": "",
        "total": "$25.00",
        "card": "Visa ending 4242",
        "mode": "embedded",
        "number": str(credited.number),
        "paid_debt": "",
        "receipt_url": shop.pouch.checkout.page_of(purchase),
    }


async def test_the_mail_can_be_put_into_words(shop: Shop) -> None:
    purchase = await shop.start("25.00")
    await shop.pay(purchase)
    await shop.pouch.sync.purchase(purchase.id)
    async with shop.database.transaction() as db:
        rows = await db.execute("SELECT context FROM mail_letters")
        (context,) = (await rows.fetchall())[0]
    templates = Templates([("pouch.payments", "templates")], site_name="Pouch", site_url="http://localhost")
    words = templates.render("purchase", to=ALICE, context=context)
    assert words.subject == "You bought $25.00 of credits"
    for text in (words.text, words.html):
        assert "Available now:" in text
        assert "Visa ending 4242" in text
        assert shop.pouch.checkout.page_of(purchase) in text
        assert "no money was taken" in text


async def test_a_page_reloaded_many_times_at_once_credits_once(shop: Shop) -> None:
    purchase = await shop.start()
    await shop.pay(purchase)
    await asyncio.gather(*(shop.pouch.sync.visit(shop.alice, purchase.id) for _ in range(20)))
    await shop.assert_credited_once()


async def test_unpaid_stays_open_and_can_be_continued(shop: Shop) -> None:
    purchase = await shop.start()
    shown = await shop.pouch.sync.purchase(purchase.id)
    assert shown == purchase
    assert shop.pouch.checkout.url_of(shown) == purchase.session_url


async def test_a_declined_card_credits_nothing_and_another_card_may_pay(shop: Shop) -> None:
    purchase = await shop.start()
    await shop.pay(purchase, number="4000000000000002")
    assert (await shop.pouch.sync.purchase(purchase.id)).state == "open"
    assert await shop.available() == Money(0)
    await shop.pay(purchase, number="5555555555554444")
    assert (await shop.pouch.sync.purchase(purchase.id)).card == "Mastercard ending 4444"
    await shop.assert_credited_once()


@pytest.mark.parametrize(("answer", "state"), [("complete", "credited"), ("fail", "open")])
async def test_the_bank_may_ask_first(shop: Shop, answer: str, state: str) -> None:
    purchase = await shop.start()
    await shop.pay(purchase, number="4000002760003184", authentication=answer)
    assert (await shop.pouch.sync.purchase(purchase.id)).state == state


async def test_a_debit_that_fails_later_fails_the_purchase(shop: Shop) -> None:
    """Story 13: credited only when the money came."""
    purchase = await shop.start()
    await shop.pay(purchase, number="000222222227")
    await shop.cards.processor.tend()
    failed = await shop.pouch.sync.purchase(purchase.id)
    assert failed.state == "failed"
    assert await shop.count("payment_purchases", "due_at IS NULL") == 1
    assert "Nothing was charged" in failed.reason
    assert await shop.credits() == 0


async def test_a_session_that_ran_out_of_time_expires_the_purchase(shop: Shop) -> None:
    purchase = await shop.start()
    await shop.change("UPDATE cards_sessions SET expires_at = now()")
    await shop.cards.processor.tend()
    assert (await shop.pouch.sync.purchase(purchase.id)).state == "expired"


@pytest.mark.parametrize("state", ["failed", "expired"])
async def test_a_payment_found_after_the_end_still_credits(shop: Shop, state: str) -> None:
    """The money came, so the credits are owed."""
    purchase = await shop.start()
    await shop.change("UPDATE payment_purchases SET state = %s, due_at = NULL", state)
    await shop.pay(purchase)
    assert (await shop.pouch.sync.purchase(purchase.id)).state == "credited"
    await shop.assert_credited_once()


async def test_a_payment_that_fails_after_the_credit_takes_the_credits_back_once(shop: Shop) -> None:
    """Story 13: settled, and failed later; nobody keeps credits that were not paid, and the operator is told."""
    await shop.change("UPDATE identity_people SET is_operator = false")
    purchase = await shop.buy()
    await shop.spend("4")
    await shop.change("UPDATE cards_intents SET status = 'requires_payment_method'")
    for _ in range(2):
        await shop.deliver("payment_intent.succeeded")
        await shop.pouch.sync.object(str(purchase.payment_id))
    assert (await shop.now(purchase)).state == "refunded"
    has = await shop.has()
    assert (has.posted, has.debt) == (Money(0), Money.parse("4"))
    assert await shop.mails() == ["purchase", "payment_failed_after_all"]
    await shop.assert_clean()


async def test_the_ledger_refuses_a_second_credit_even_when_our_state_is_wrong(shop: Shop) -> None:
    """The row was put back by hand, or from a backup: the payment's own key still stands in the ledger."""
    purchase = await shop.start()
    await shop.pay(purchase)
    await shop.pouch.sync.purchase(purchase.id)
    await shop.change("UPDATE payment_purchases SET state = 'open', credited_at = NULL, payment_id = NULL")
    assert (await shop.pouch.sync.purchase(purchase.id)).state == "credited"
    await shop.assert_credited_once()


async def test_an_old_look_that_arrives_late_changes_nothing(shop: Shop) -> None:
    """One process fetched the unpaid session and was slow; meanwhile another credited."""
    purchase = await shop.start()
    old = await shop.pouch.processor.find_session(str(purchase.session_id))
    await shop.pay(purchase)
    credited = await shop.pouch.sync.purchase(purchase.id)
    async with shop.database.transaction() as db:
        assert await settle(db, purchase.id, old, page="", automatic=Nobody()) == credited
    await shop.assert_credited_once()


async def test_a_credited_purchase_is_not_touched_again(shop: Shop) -> None:
    """Not even the time on its receipt."""
    purchase = await shop.start()
    await shop.pay(purchase)
    credited = await shop.pouch.sync.purchase(purchase.id)
    await shop.deliver()
    assert await shop.now(purchase) == credited


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE cards_intents SET amount_cents = amount_cents - 1",
        "UPDATE cards_intents SET amount_cents = amount_cents + 1",
        "UPDATE cards_intents SET metadata = '{}'",
        "UPDATE cards_intents SET metadata = jsonb_set(metadata, '{organization}', '\"org_other\"')",
        "UPDATE cards_intents SET customer_id = NULL",
        "UPDATE payment_purchases SET customer = 'cus_other'",
        "UPDATE payment_purchases SET amount_nanos = amount_nanos * 2",
    ],
)
async def test_a_payment_that_is_not_what_was_asked_for_is_quarantined(shop: Shop, tampering: str) -> None:
    purchase = await shop.start()
    await shop.pay(purchase)
    await shop.change(tampering)
    for _ in range(2):
        await shop.pouch.sync.purchase(purchase.id)
        await shop.deliver()
    aside = await shop.now(purchase)
    assert aside.state == "open"
    assert aside.quarantine
    assert await shop.credits() == 0
    assert await shop.count("mail_letters") == 0
    assert await shop.count("payment_purchases", "due_at IS NULL") == 1


async def test_a_quarantine_that_was_our_mistake_ends_with_one_credit(shop: Shop) -> None:
    purchase = await shop.start()
    await shop.pay(purchase)
    await shop.change("UPDATE payment_purchases SET amount_nanos = amount_nanos * 2")
    assert (await shop.pouch.sync.purchase(purchase.id)).quarantine
    await shop.change("UPDATE payment_purchases SET amount_nanos = amount_nanos / 2")
    assert not (await shop.pouch.sync.purchase(purchase.id)).quarantine
    await shop.assert_credited_once()


async def test_another_modes_purchases_are_left_alone(shop: Shop) -> None:
    """The operator moved from the embedded processor to Stripe: it knows nothing of the old sessions."""
    purchase = await shop.start()
    await shop.pay(purchase)
    await shop.change("UPDATE payment_purchases SET mode = 'test'")
    left = await shop.pouch.sync.purchase(purchase.id)
    await shop.deliver()
    assert (await shop.now(purchase)) == left
    assert (left.state, left.quarantine) == ("open", "")
    assert await shop.credits() == 0


async def test_a_page_is_shown_while_the_processor_is_away(shop: Shop) -> None:
    purchase = await shop.start()
    away = Pouch(shop.database, api_base="http://127.0.0.1:9", timeout_s=0.3)
    assert await away.sync.visit(shop.alice, purchase.id) == purchase
    with pytest.raises(ProcessorSilent):
        await away.sync.purchase(purchase.id)
    await away.processor.close()


async def test_two_purchases_credit_twice(open_shop: OpenShop) -> None:
    """Paying again on purpose is no repetition."""
    async with open_shop() as shop:
        for attempt in ("first", "second"):
            purchase = await shop.start(attempt=attempt)
            await shop.pay(purchase)
            await shop.deliver()
        assert await shop.available() == Money.parse("20")
        assert await shop.count("mail_letters") == 2
