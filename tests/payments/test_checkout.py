"""Starting a purchase: one row, one customer and one payment page per attempt, whatever the network does."""

import asyncio

import pytest

from payments.far_end import FarEnd
from payments.shop import ALICE, OpenShop, Pouch, Shop
from pouch.base.errors import InvalidInput, NotAllowed, TooManyRequests
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.payments import customers
from pouch.payments.checkout import UNPAID_PER_HOUR_MAX, Checkout
from pouch.payments.errors import AttemptReused, ProcessorRefused
from pouch.payments.purchases import add_purchase, find_purchase, list_purchases
from pouch.payments.types import Order, Purchase
from pouch.settings import Settings

pytestmark = pytest.mark.anyio


async def test_a_purchase_leads_to_a_payment_page_for_its_amount(shop: Shop) -> None:
    purchase = await shop.start("12.34")
    assert purchase.state == "open"
    assert shop.pouch.checkout.url_of(purchase) == purchase.session_url
    assert "$12.34" in (await shop.cards.show(str(purchase.session_url))).text


@pytest.mark.parametrize("usd", ["4.99", "1000.01", "10.001", "0"])
async def test_an_amount_that_cannot_be_bought_is_refused_by_its_field(shop: Shop, usd: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await shop.start(usd)
    assert refused.value.field == "amount_usd"
    assert await shop.count("payment_purchases") == 0


@pytest.mark.parametrize("attempt", ["", "a b", "x" * 101, "é", "a\n"])
async def test_an_attempt_is_a_short_word(shop: Shop, attempt: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await shop.start(attempt=attempt)
    assert refused.value.field == "attempt"


async def test_without_a_processor_nothing_is_sold(shop: Shop) -> None:
    checkout = Checkout(shop.database, None, Settings(config=""))
    with pytest.raises(NotAllowed, match="Ask your operator"):
        await checkout.start(
            organization_id=shop.alice,
            person_id=shop.alice,
            email="a@example.com",
            amount=Money.parse("10"),
            attempt="1",
        )
    assert not checkout.is_open


async def test_the_same_attempt_is_the_same_purchase(shop: Shop) -> None:
    """Story 2: the page is slow, Alice presses Pay again."""
    first, second = await shop.start(), await shop.start()
    assert first == second
    assert await shop.count("cards_sessions") == 1


async def test_the_same_attempt_cannot_ask_for_another_amount(shop: Shop) -> None:
    purchase = await shop.start("10.00")
    with pytest.raises(AttemptReused) as refused:
        await shop.start("20.00")
    assert refused.value.purchase_id == purchase.id
    assert refused.value.amount == Money.parse("10")


async def test_twenty_starts_at_once_make_one_purchase_and_one_page(shop: Shop) -> None:
    found = await asyncio.gather(*(shop.start() for _ in range(20)))
    assert len({purchase.id for purchase in found}) == 1
    settled = await shop.now(found[0])
    assert settled.state == "open"
    assert {shop.pouch.checkout.url_of(purchase) for purchase in found} <= {
        settled.session_url,
        shop.pouch.checkout.page_of(settled),
    }
    assert await shop.count("cards_sessions") == 1
    assert await shop.count("cards_customers") == 1


async def test_who_begins_very_many_and_pays_none_has_to_wait(shop: Shop) -> None:
    first = await shop.start()
    async with shop.pouch.database.transaction() as db:
        for number in range(UNPAID_PER_HOUR_MAX - 1):
            order = Order(shop.alice, shop.alice, ALICE, Money.from_cents(1000), f"begun-{number}")
            await add_purchase(db, order, "test", 3600)
    with pytest.raises(TooManyRequests, match="begun and not paid"):
        await shop.start(attempt="one-more")
    assert (await shop.start()).id == first.id


async def test_an_organization_is_one_customer(shop: Shop) -> None:
    await shop.start(attempt="first")
    await shop.start(attempt="second")
    assert await shop.count("cards_sessions") == 2
    assert await shop.count("cards_customers") == 1


async def test_others_do_not_see_a_purchase(shop: Shop) -> None:
    """Carol guesses the link."""
    purchase, carol = await shop.start(), new_id()
    async with shop.database.transaction() as db:
        assert await find_purchase(db, carol, purchase.id) is None
        assert await list_purchases(db, carol) == []
        assert await list_purchases(db, shop.alice) == [purchase]
    assert await shop.pouch.sync.visit(carol, purchase.id) is None


async def test_a_lost_answer_is_mended_with_the_same_key(open_shop: OpenShop) -> None:
    """The processor made the page, but its answer got lost on the way; the request goes out again."""
    async with open_shop(lose_answers=1) as shop:
        assert (await shop.start()).state == "open"
        assert await shop.count("cards_customers") == 1


@pytest.mark.parametrize("trouble", ["hang", "cut"])
async def test_no_answer_leaves_the_purchase_as_it_was_and_the_next_try_uses_the_same_key(
    shop: Shop, trouble: str
) -> None:
    """ "Cut" is the bad one: the page was made, and nobody knows."""
    async with FarEnd.before(shop.cards.api_base) as far_end:
        pouch = Pouch(shop.database, api_base=far_end.url, timeout_s=0.3)
        await shop.start(attempt="customer", pouch=pouch)
        far_end.trouble = trouble
        purchase = await shop.start(pouch=pouch)
        assert purchase.state == "created"
        assert pouch.checkout.url_of(purchase) == pouch.checkout.page_of(purchase)

        far_end.trouble = None
        again = await pouch.sync.visit(shop.alice, purchase.id)
        await pouch.processor.close()

    assert again is not None
    assert again.state == "open"
    sent = [key for key in far_end.keys if key.startswith("co:") and key != far_end.keys[1]]
    assert len(sent) >= 2
    assert set(sent) == {f"co:{purchase.id}"}
    assert await shop.count("cards_sessions", "client_reference_id <> ''") == 2


async def test_a_definite_no_fails_the_purchase(shop: Shop) -> None:
    """A page that would live longer than the processor lets it: nothing was made, and waiting does not help."""
    purchase = await without_page(shop)
    await shop.change("UPDATE payment_purchases SET session_expires_at = now() + interval '3 days'")
    with pytest.raises(ProcessorRefused, match="Nothing was charged"):
        await shop.start()
    assert (await shop.now(purchase)).state == "failed"
    assert (await shop.start(attempt="second")).state == "open"


async def test_a_key_that_is_not_taken_fails_nothing(shop: Shop) -> None:
    """The operator is rolling it: the purchase waits, and its page is there once the key is."""
    purchase = await without_page(shop)
    assert purchase.state == "created"
    assert (await shop.start()).state == "open"


async def test_a_customer_that_is_gone_is_replaced_by_another(shop: Shop) -> None:
    """Deleted at the processor's own site: the next purchase makes a new one, once, whoever comes first."""
    await shop.buy("10.00")
    await shop.change("UPDATE payment_customers SET stripe_id = 'cus_that_was_deleted'")
    await asyncio.gather(*(shop.start("10.00", f"again-{number}") for number in range(3)))
    # Who met the other's request for the new customer is asked to try again, and does.
    again = [await shop.start("10.00", f"again-{number}") for number in range(3)]
    assert [purchase.state for purchase in again] == ["open"] * 3
    assert await shop.count("cards_customers") == 2
    await shop.pay(again[0])
    assert (await shop.pouch.sync.purchase(again[0].id)).state == "credited"
    assert (await shop.has()).posted == Money.parse("20")
    await shop.assert_clean()


async def test_what_was_begun_with_a_former_customer_still_credits(shop: Shop) -> None:
    early = await shop.start("10.00", "early")
    async with shop.database.transaction() as db:
        known = await customers.find_customer(db, shop.alice, "embedded")
        assert known is not None
        assert await customers.forget_customer(db, shop.alice, "embedded", known)
        assert not await customers.forget_customer(db, shop.alice, "embedded", known)
    await shop.start("10.00", "late")
    await shop.pay(early)
    found = await shop.pouch.sync.purchase(early.id)
    assert (found.state, found.quarantine, found.customer) == ("credited", "", known)


async def test_a_page_whose_answer_was_lost_is_found_with_its_former_customer(shop: Shop) -> None:
    """No second page for the same purchase, though the organization has another customer by now."""
    early = await shop.start("10.00", "early")
    await shop.change("UPDATE payment_purchases SET state = 'created', session_id = NULL, session_url = NULL")
    await shop.change("UPDATE payment_customers SET stripe_id = NULL, replaced = 1")
    again = await shop.start("10.00", "early")
    assert (again.state, again.session_id) == ("open", early.session_id)
    assert await shop.count("cards_sessions") == 1


async def without_page(shop: Shop) -> Purchase:
    """Begun while the operator's key is wrong."""
    pouch = Pouch(shop.database, api_base=shop.cards.api_base, secret_key="sk_test_wrong")
    purchase = await shop.start(pouch=pouch)
    await pouch.processor.close()
    return purchase


async def test_a_page_made_under_another_name_is_looked_up_and_not_made_twice(shop: Shop) -> None:
    """The answer got lost, and before the next try the operator gave Pouch another address."""
    first = await shop.start()
    await shop.change(
        "UPDATE payment_purchases SET state = 'created', session_id = NULL, session_url = NULL WHERE id = %s", first.id
    )
    moved = Pouch(
        shop.database, api_base=shop.cards.api_base, settings=Settings(config="", public_url="https://new.example")
    )
    again = await shop.start(pouch=moved)
    assert (again.state, again.session_id) == ("open", first.session_id)
    assert await shop.count("cards_sessions") == 1


async def test_a_purchase_that_never_got_its_page_expires(shop: Shop) -> None:
    purchase = await shop.start()
    await shop.change(
        """
        UPDATE payment_purchases SET state = 'created', session_id = NULL, session_url = NULL,
               session_expires_at = now() + interval '40 minutes'
        """
    )
    again = await shop.start()
    assert again.state == "expired"
    assert shop.pouch.checkout.url_of(again) == shop.pouch.checkout.page_of(purchase)


async def test_a_page_whose_time_is_over_is_not_offered(shop: Shop) -> None:
    purchase = await shop.start()
    await shop.change("UPDATE payment_purchases SET session_expires_at = now() - interval '1 second'")
    assert shop.pouch.checkout.url_of(await shop.start()) == shop.pouch.checkout.page_of(purchase)
