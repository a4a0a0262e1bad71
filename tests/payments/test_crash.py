"""The process dies between any two steps, and the story is told again: one charge, one credit, one mail."""

from collections.abc import Awaitable, Callable

import pytest

from payments.far_end import FarEnd
from payments.mortal import MortalDatabase, PowerCut
from payments.shop import Pouch, Shop
from pouch.ledger.check import check

pytestmark = pytest.mark.anyio


async def tell(shop: Shop, pouch: Pouch) -> None:
    """Alice buys: press, pay, events arrive, return, and the worker comes by. Any step may find its work done."""
    purchase = await shop.start(pouch=pouch)
    if purchase.session_url is None:
        return
    await shop.pay(purchase)
    await shop.deliver("checkout.session.completed", pouch=pouch)
    await pouch.sync.visit(shop.alice, purchase.id)
    await shop.change("UPDATE payment_purchases SET due_at = now() WHERE due_at IS NOT NULL")
    await pouch.jobs.look_after(purchase.id)


async def tell_as_worker(shop: Shop, pouch: Pouch) -> None:
    """Alice buys and never comes back to our page; the lost webhook is made up for by a worker."""
    purchase = await shop.start(pouch=pouch)
    if purchase.session_url is None:
        return
    await shop.pay(purchase)
    await shop.change("UPDATE payment_purchases SET due_at = now(), lease_until = NULL WHERE due_at IS NOT NULL")
    await pouch.jobs.look_after(purchase.id)


@pytest.mark.parametrize("story", [tell, tell_as_worker])
@pytest.mark.parametrize("commits", [False, True], ids=["before_the_commit", "after_the_commit"])
async def test_a_death_at_any_transaction_leaves_one_credit(
    shop: Shop, database_url: str, story: Callable[[Shop, Pouch], Awaitable[None]], *, commits: bool
) -> None:
    deaths = 0
    while True:
        async with MortalDatabase(database_url, dies_at=deaths + 1, commits=commits) as mortal:
            pouch = Pouch(mortal, api_base=shop.cards.api_base)
            try:
                await story(shop, pouch)
            except PowerCut:
                deaths += 1
            else:
                break
            finally:
                await pouch.processor.close()
        await story(shop, shop.pouch)
        await shop.assert_credited_once()
        await shop.next_alice()
    await shop.assert_credited_once()
    assert deaths == mortal.count
    async with shop.database.transaction() as db:
        assert await check(db) == []


async def test_an_answer_lost_at_any_request_leaves_one_credit(shop: Shop) -> None:
    """The processor did what it was asked, and its answer never came; from then on the network is gone."""
    for answers in range(8):
        async with FarEnd.before(shop.cards.api_base) as far_end:
            far_end.answers = answers
            pouch = Pouch(shop.database, api_base=far_end.url, timeout_s=2)
            await tell(shop, pouch)
            await pouch.processor.close()
        await shop.change("UPDATE payment_events SET due_at = now() WHERE due_at IS NOT NULL")
        await tell(shop, shop.pouch)
        await shop.assert_credited_once()
        await shop.next_alice()
