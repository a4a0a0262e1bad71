"""Card thieves: three refused cards in an hour, and the payment pages close, with words that say nothing."""

import pytest

from payments.shop import ALICE, Shop
from pouch.base.errors import TooManyRequests
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.ledger.accounts import open_account
from pouch.payments.card_rows import CardSetup

pytestmark = pytest.mark.anyio

DECLINED, HOME = "4000000000000002", "8.8.4.4"


async def start(shop: Shop, attempt: str, network: str = "") -> None:
    await shop.pouch.checkout.start(
        organization_id=shop.alice,
        person_id=shop.alice,
        email=ALICE,
        amount=Money.parse("10"),
        attempt=attempt,
        network=network,
    )


async def refuse(shop: Shop, times: int, network: str = "") -> None:
    """So many cards are refused on one purchase of Alice's."""
    purchase = await shop.pouch.checkout.start(
        organization_id=shop.alice,
        person_id=shop.alice,
        email=ALICE,
        amount=Money.parse("10"),
        attempt=new_id().hex,
        network=network,
    )
    for _ in range(times):
        await shop.pay(purchase, number=DECLINED)
    await shop.deliver("payment_intent.payment_failed")


async def test_the_third_refused_card_closes_the_page_and_stops_new_purchases(shop: Shop) -> None:
    await refuse(shop, 3)
    assert await shop.count("cards_sessions", "status = 'expired'") == 1
    with pytest.raises(TooManyRequests) as refused:
        await start(shop, "another")
    assert "card" not in refused.value.message.replace("Try again later", "")
    await shop.deliver("checkout.session.expired")
    assert await shop.count("payment_purchases", "state = 'expired'") == 1


async def test_two_refused_cards_are_an_honest_mistake(shop: Shop) -> None:
    await refuse(shop, 2)
    assert await shop.count("cards_sessions", "status = 'open'") == 1
    await start(shop, "another")


async def test_after_an_hour_it_is_forgotten(shop: Shop) -> None:
    await refuse(shop, 3)
    await shop.change("UPDATE payment_refused_cards SET refused_at = refused_at - interval '61 minutes'")
    await start(shop, "another")


async def test_who_comes_from_the_same_network_waits_too(shop: Shop) -> None:
    """Another account for each card does not help; a proxy of ours stands for nobody."""
    await refuse(shop, 3, HOME)
    shop.alice = new_id()
    async with shop.database.transaction() as db:
        await open_account(db, shop.alice)
    with pytest.raises(TooManyRequests):
        await start(shop, "one", HOME)
    await start(shop, "two", "9.9.9.9")


async def test_a_private_network_is_no_network(shop: Shop) -> None:
    await refuse(shop, 3, "10.0.0.7")
    assert await shop.count("payment_networks") == 0


async def begin_to_save(shop: Shop, network: str = "") -> CardSetup:
    return await shop.pouch.sync.cards.start(
        organization_id=shop.alice, person_id=shop.alice, email=ALICE, attempt=new_id().hex, network=network
    )


async def test_numbers_tried_on_a_page_that_saves_a_card_count_too(shop: Shop) -> None:
    """The third closes the page; neither another such page nor a purchase begins, for her and for her network."""
    setup = await begin_to_save(shop, HOME)
    assert setup.session_url is not None
    for times in range(1, 4):
        assert await shop.count("cards_sessions", "status = 'open'") == 1
        await shop.cards.pay(setup.session_url, number=DECLINED)
        await shop.deliver("setup_intent.setup_failed")
        assert await shop.count("payment_refused_cards") == times
    assert await shop.count("cards_sessions", "status = 'expired'") == 1
    with pytest.raises(TooManyRequests):
        await begin_to_save(shop)
    with pytest.raises(TooManyRequests):
        await start(shop, "another")
    shop.alice = new_id()
    async with shop.database.transaction() as db:
        await open_account(db, shop.alice)
    with pytest.raises(TooManyRequests):
        await begin_to_save(shop, HOME)
    await begin_to_save(shop, "9.9.9.9")
