"""Saved cards: by consent only, one row for one card, and the same whoever says what became of it."""

import asyncio
from datetime import date

import pytest

from payments.shop import ALICE, OpenShop, Shop
from pouch.base.ids import new_id
from pouch.embedded.cards.delivery import sign
from pouch.mail.templates import Templates
from pouch.payments import card_rows
from pouch.payments.card_rows import CardSetup
from pouch.payments.errors import NoSuchCard
from pouch.payments.types import Card
from support.cards import WEBHOOK_SECRET

pytestmark = pytest.mark.anyio

KEPT = """
SELECT to_jsonb(c)::text FROM payment_cards AS c UNION ALL SELECT to_jsonb(m)::text FROM cards_methods AS m
"""


async def cards(shop: Shop) -> list[Card]:
    async with shop.database.transaction() as db:
        return await shop.pouch.sync.cards.all(db, shop.alice)


async def begin(shop: Shop, attempt: str = "add") -> CardSetup:
    return await shop.pouch.sync.cards.start(
        organization_id=shop.alice, person_id=shop.alice, email=ALICE, attempt=attempt
    )


async def add(shop: Shop, number: str = "4242424242424242", attempt: str = "add") -> Card:
    """Alice adds a card and comes back."""
    setup = await begin(shop, attempt)
    assert setup.session_url is not None
    await shop.cards.pay(setup.session_url, number=number)
    found = await shop.pouch.sync.cards.visit(shop.alice, setup.id)
    assert found is not None
    async with shop.database.transaction() as db:
        return await card_rows.get_card(db, shop.alice, found.card_id or new_id())


async def letters(shop: Shop) -> list[str]:
    async with shop.database.transaction() as db:
        rows = await db.execute("SELECT kind FROM mail_letters ORDER BY created_at, id")
        return [kind for (kind,) in await rows.fetchall()]


async def test_a_card_is_saved_without_paying(shop: Shop) -> None:
    card = await add(shop)
    assert (card.name, card.ends, card.is_default) == ("Visa ending 4242", "12 / 2034", True)
    assert await shop.count("cards_charges") == 0
    assert await letters(shop) == ["card_added"]


async def test_nothing_of_a_card_is_kept_but_what_its_owner_knows_it_by(shop: Shop) -> None:
    """No column of the database holds the number or the security code, ours or the embedded processor's."""
    await add(shop)
    async with shop.database.transaction() as db:
        rows = await db.execute(KEPT)
        kept = " ".join(text for (text,) in await rows.fetchall())
    assert "4242424242424242" not in kept
    assert '"last4": "4242"' in kept


async def test_the_same_attempt_is_the_same_page(shop: Shop) -> None:
    first, again = await asyncio.gather(begin(shop), begin(shop))
    assert first.id == again.id
    assert await shop.count("cards_sessions") == 1


async def test_the_bank_may_ask_when_a_card_is_saved(shop: Shop) -> None:
    assert (await add(shop, "4000002500003155")).last4 == "3155"


async def test_a_card_that_the_bank_refuses_is_not_saved(shop: Shop) -> None:
    setup = await begin(shop)
    assert setup.session_url is not None
    await shop.cards.pay(setup.session_url, number="4000000000000002")
    found = await shop.pouch.sync.cards.visit(shop.alice, setup.id)
    assert found is not None
    assert found.state == "open"
    assert await cards(shop) == []


@pytest.mark.parametrize("agrees", [True, False])
async def test_a_card_is_saved_while_paying_only_with_consent(shop: Shop, agrees: bool) -> None:
    purchase = await shop.start(saves_card=agrees)
    await shop.pay(purchase)
    await shop.pouch.sync.purchase(purchase.id)
    assert [card.last4 for card in await cards(shop)] == (["4242"] if agrees else [])
    assert await shop.count("cards_methods", "customer_id IS NOT NULL") == (1 if agrees else 0)
    await shop.assert_credited_once()


async def test_events_alone_are_enough(shop: Shop) -> None:
    """Alice closes the window after saving; nobody visits."""
    setup = await begin(shop)
    assert setup.session_url is not None
    await shop.cards.pay(setup.session_url)
    assert set(await shop.deliver("setup_intent.succeeded", "checkout.session.completed")) == {200}
    assert len(await cards(shop)) == 1
    assert await shop.count("payment_card_setups", "state = 'done' AND due_at IS NULL") == 1


async def test_a_lost_webhook_is_made_up_for_by_the_job(shop: Shop) -> None:
    setup = await begin(shop)
    assert setup.session_url is not None
    await shop.cards.pay(setup.session_url)
    await shop.change("UPDATE payment_card_setups SET due_at = now()")
    await shop.pouch.sync.cards.look_after(setup.id)
    assert len(await cards(shop)) == 1


async def test_the_same_card_saved_twice_is_one(shop: Shop) -> None:
    first = await add(shop)
    second = await add(shop, attempt="again")
    assert [card.id for card in await cards(shop)] == [second.id]
    assert second.is_default
    assert first.fingerprint == second.fingerprint
    assert await shop.count("cards_methods", "customer_id IS NOT NULL") == 1


async def test_another_card_can_be_made_the_default(shop: Shop) -> None:
    await add(shop)
    other = await add(shop, "5555555555554444", attempt="other")
    assert not other.is_default
    await shop.pouch.sync.cards.make_default(shop.alice, other.id)
    assert [(card.last4, card.is_default) for card in await cards(shop)] == [("4444", True), ("4242", False)]
    assert (await letters(shop))[-1] == "card_default"


async def test_a_removed_card_is_gone_here_and_at_the_processor(shop: Shop) -> None:
    card = await add(shop)
    await shop.pouch.sync.cards.remove(shop.alice, card.id)
    assert await cards(shop) == []
    assert await shop.count("cards_methods", "customer_id IS NOT NULL") == 0
    with pytest.raises(NoSuchCard):
        await shop.pouch.sync.cards.remove(shop.alice, card.id)
    assert await letters(shop) == ["card_added", "card_removed"]


async def test_a_card_taken_off_at_the_processor_is_gone_here(shop: Shop) -> None:
    card = await add(shop)
    await shop.pouch.processor.detach(card.stripe_id)
    assert await shop.pouch.sync.object(card.stripe_id)
    assert await cards(shop) == []


async def test_a_renewed_card_is_renewed_here(shop: Shop) -> None:
    card = await add(shop)
    await shop.change("UPDATE cards_methods SET exp_year = 2040")
    assert await shop.pouch.sync.object(card.stripe_id)
    assert [found.ends for found in await cards(shop)] == ["12 / 2040"]


async def test_carol_has_nothing_to_do_with_alices_cards(shop: Shop) -> None:
    card = await add(shop)
    carol = new_id()
    for act in (shop.pouch.sync.cards.remove, shop.pouch.sync.cards.make_default):
        with pytest.raises(NoSuchCard):
            await act(carol, card.id)
    assert await shop.pouch.sync.cards.visit(carol, (await begin(shop)).id) is None


@pytest.mark.parametrize(
    ("today", "told"),
    [
        (date(2034, 11, 30), 0),
        (date(2034, 12, 2), 1),
        (date(2034, 12, 20), 1),
        (date(2034, 12, 25), 1),
        (date(2035, 1, 1), 0),
    ],
)
async def test_a_card_that_ends_is_told_of_thirty_days_before(shop: Shop, today: date, told: int) -> None:
    """It is good to the end of its month."""
    await add(shop)
    for _ in range(2):
        await shop.pouch.sync.cards.tell_of_ending_cards(today)
    assert (await letters(shop)).count("card_ending") == told


async def test_a_card_that_ends_is_told_of_twice_in_all(shop: Shop) -> None:
    await add(shop)
    for day in range(2, 32):
        await shop.pouch.sync.cards.tell_of_ending_cards(date(2034, 12, day))
    assert (await letters(shop)).count("card_ending") == 2


async def test_the_letters_about_cards_can_be_put_into_words() -> None:
    templates = Templates([("pouch.payments", "templates")], site_name="Pouch", site_url="http://localhost")
    for kind in ("card_added", "card_default", "card_removed", "card_ending"):
        words = templates.render(kind, to=ALICE, context={"card": "Visa ending 4242", "ends": "12 / 2034"})
        assert "Visa ending 4242" in words.subject
        assert "/billing" in words.text


async def test_a_forged_event_about_a_card_changes_nothing(open_shop: OpenShop) -> None:
    """Its signature holds, but the processor knows nothing of it."""
    async with open_shop() as shop:
        await add(shop)
        bodies = await shop.events("checkout.session.completed")
        forged = bodies[0].replace(b"cs_test_", b"cs_test_x", 1)
        assert await shop.pouch.post(forged, sign(forged, WEBHOOK_SECRET)) == 200
        assert len(await cards(shop)) == 1
