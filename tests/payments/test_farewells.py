"""An account is deleted: its cards and payment pages end at the processor, and money that still comes goes back."""

from pathlib import Path

import pytest

from payments.far_end import FarEnd
from payments.shop import ALICE, Pouch, Shop
from payments.test_fee_and_tax import FIXED, pouch_with
from pouch.base.ids import new_id
from pouch.base.money import ZERO, Money
from pouch.embedded.cards import store
from pouch.embedded.cards.types import Method
from pouch.embedded.cards.types import Session as CardsSession
from pouch.identity.closing import close_account
from pouch.identity.people import add_person
from pouch.payments import card_rows, closings
from pouch.payments.card_rows import CardSetup
from pouch.payments.types import Card, Purchase

pytestmark = pytest.mark.anyio


@pytest.fixture
async def olga(shop: Shop) -> str:
    """An operator, for the alarms, and no other one; Alice becomes a person who can delete her account."""
    address = f"olga-{new_id().hex}@pouch.example"
    async with shop.database.transaction() as db:
        await db.execute("UPDATE identity_people SET is_operator = false")
        await add_person(db, address, None, verified=True, operator=True)
        alice = await add_person(db, f"alice-{new_id().hex}@example.com", None, verified=True)
    shop.alice = alice.organization_id
    return address


async def delete_account(shop: Shop) -> None:
    async with shop.database.transaction() as db:
        rows = await db.execute("SELECT personal_of FROM identity_organizations WHERE id = %s", (shop.alice,))
        row = await rows.fetchone()
        assert row is not None
        await close_account(db, row[0], farewells=[card_rows.forget_person, closings.forget_person])


async def work(shop: Shop, pouch: Pouch | None = None) -> None:
    """What a worker does about it once it is due."""
    await shop.change("UPDATE payment_closings SET due_at = now() WHERE due_at IS NOT NULL")
    await (pouch or shop.pouch).jobs.farewells.carry_out(shop.alice)


async def begin_card(shop: Shop, attempt: str = "card") -> CardSetup:
    return await shop.pouch.sync.cards.start(
        organization_id=shop.alice, person_id=shop.alice, email=ALICE, attempt=attempt
    )


async def add_card(shop: Shop) -> Card:
    setup = await begin_card(shop)
    assert setup.session_url is not None
    await shop.cards.pay(setup.session_url)
    await shop.pouch.sync.cards.visit(shop.alice, setup.id)
    async with shop.database.transaction() as db:
        (card,) = await shop.pouch.sync.cards.all(db, shop.alice)
    return card


async def customer_of(shop: Shop, card: Card) -> str | None:
    """Whose card it is at the processor."""
    async with shop.database.transaction() as db:
        method = await store.find(db, Method, card.stripe_id)
    assert method is not None
    return method.customer_id


async def page_state(shop: Shop, session_id: str | None) -> str:
    """How the payment page is at the processor."""
    async with shop.database.transaction() as db:
        session = await store.find(db, CardsSession, session_id)
    assert session is not None
    return session.status


async def closing(shop: Shop) -> str:
    async with shop.database.transaction() as db:
        rows = await db.execute("SELECT state FROM payment_closings WHERE id = %s", (shop.alice,))
        row = await rows.fetchone()
    assert row is not None
    return str(row[0])


async def alarms(shop: Shop, to: str) -> int:
    return await shop.count("mail_letters", f"kind = 'operator_alert' AND to_address = '{to}'")


@pytest.mark.usefixtures("olga")
async def test_saved_cards_and_open_pages_end_at_the_processor(shop: Shop) -> None:
    card, purchase = await add_card(shop), await shop.start("10.00")
    setup = await begin_card(shop, "another")
    await delete_account(shop)
    await work(shop)
    assert await customer_of(shop, card) is None
    assert await page_state(shop, purchase.session_id) == "expired"
    assert await page_state(shop, setup.session_id) == "expired"
    assert ((await shop.now(purchase)).state, await closing(shop)) == ("expired", "closed")
    await work(shop)
    assert await closing(shop) == "closed"


@pytest.mark.usefixtures("olga")
@pytest.mark.parametrize("answers", range(3))
async def test_an_answer_lost_at_any_step_is_made_up_for(shop: Shop, answers: int) -> None:
    card, purchase = await add_card(shop), await shop.start("10.00")
    await delete_account(shop)
    async with FarEnd.before(shop.cards.api_base) as far_end:
        far_end.answers = answers
        away = Pouch(shop.database, api_base=far_end.url, timeout_s=1)
        await work(shop, away)
        await away.processor.close()
    assert await closing(shop) == "closing"
    await work(shop)
    assert await closing(shop) == "closed"
    assert await customer_of(shop, card) is None
    assert await page_state(shop, purchase.session_id) == "expired"


async def paid_before_the_worker_came(shop: Shop, pouch: Pouch) -> Purchase:
    """The page was open in another tab, and was paid after the account was deleted."""
    purchase = await shop.start("10.00", pouch=pouch)
    await delete_account(shop)
    await shop.pay(purchase)
    return purchase


@pytest.mark.parametrize("first", ["the_worker", "the_webhook"])
async def test_a_payment_that_comes_after_the_end_goes_back_whole_and_the_operator_hears_of_it(
    shop: Shop, olga: str, tmp_path: Path, first: str
) -> None:
    """Fee and tax, too, though the fee usually stays: nothing was sold."""
    pouch = pouch_with(shop, tmp_path, FIXED)
    purchase = await paid_before_the_worker_came(shop, pouch)
    if first == "the_webhook":
        await shop.deliver(pouch=pouch)
        assert (await shop.now(purchase)).state == "credited"
    for _ in range(2):
        await work(shop, pouch)
    await shop.deliver(pouch=pouch)
    assert (await shop.now(purchase)).state == "refunded"
    (refund,) = await shop.refunds(purchase)
    assert (refund.state, refund.amount) == ("succeeded", Money.parse("12.89"))
    assert await closing(shop) == "closed"
    assert await alarms(shop, olga) == 1
    assert [await shop.moved(account) for account in ("revenue:fees", "tax_payable")] == [ZERO, ZERO]
    assert (await shop.has()).posted == ZERO
    await shop.assert_clean()
    await pouch.processor.close()


@pytest.mark.usefixtures("olga")
async def test_a_page_whose_making_was_never_answered_is_found_and_closed(shop: Shop) -> None:
    purchase = await shop.start("10.00")
    session_id = purchase.session_id
    await shop.change("UPDATE payment_purchases SET state = 'created', session_id = NULL, session_url = NULL")
    await delete_account(shop)
    await work(shop)
    assert await page_state(shop, session_id) == "expired"
    assert ((await shop.now(purchase)).state, await closing(shop)) == ("expired", "closed")
    assert await shop.count("cards_sessions") == 1


@pytest.mark.usefixtures("olga")
async def test_a_page_that_may_still_appear_is_waited_for(shop: Shop) -> None:
    """The request for it is under way in another process."""
    purchase = await shop.start("10.00")
    await shop.change("UPDATE payment_purchases SET state = 'created', session_id = NULL, session_url = NULL")
    await shop.change("UPDATE cards_sessions SET client_reference_id = 'another'")
    await shop.change("DELETE FROM cards_requests")
    await delete_account(shop)
    await shop.pouch.sync.purchase(purchase.id)
    await work(shop)
    assert ((await shop.now(purchase)).state, await closing(shop)) == ("created", "closing")
    assert await shop.count("cards_sessions") == 1
    await shop.change("UPDATE payment_purchases SET created_at = created_at - interval '6 minutes'")
    await work(shop)
    assert ((await shop.now(purchase)).state, await closing(shop)) == ("expired", "closed")


@pytest.mark.usefixtures("olga")
async def test_a_card_saved_in_the_last_moment_is_not_kept(shop: Shop) -> None:
    setup = await begin_card(shop)
    assert setup.session_url is not None
    await delete_account(shop)
    await shop.cards.pay(setup.session_url)
    for _ in range(2):
        await work(shop)
    async with shop.database.transaction() as db:
        (card,) = await card_rows.every_card(db, shop.alice)
    assert card.removed_at is not None
    assert await customer_of(shop, card) is None
    assert await closing(shop) == "closed"


async def test_a_removed_card_whose_detaching_was_not_answered_is_detached_by_the_chore(shop: Shop) -> None:
    card = await add_card(shop)
    async with FarEnd.before(shop.cards.api_base) as far_end:
        far_end.trouble = "hang"
        away = Pouch(shop.database, api_base=far_end.url, timeout_s=0.3)
        await away.sync.cards.remove(shop.alice, card.id)
        await away.processor.close()
    assert await customer_of(shop, card) is not None
    for _ in range(2):
        await shop.pouch.sync.cards.tidy()
    assert await customer_of(shop, card) is None
    assert await shop.count("payment_cards", "detached_at IS NULL") == 0
