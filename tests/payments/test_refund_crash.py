"""The process dies at any step of a refund, or any answer is lost: one refund, one posting, nothing held for ever."""

import pytest

from payments.far_end import FarEnd
from payments.mortal import MortalDatabase, PowerCut
from payments.shop import Pouch, Shop
from pouch.base.money import ZERO, Money
from pouch.payments.types import Purchase

pytestmark = pytest.mark.anyio


async def tell(shop: Shop, pouch: Pouch, purchase: Purchase) -> None:
    """The operator refunds, the events arrive, and a worker comes by. Any step may find its work done."""
    await shop.refund(purchase, "4.00", pouch=pouch)
    await shop.deliver("charge.refunded", "refund.created", pouch=pouch)
    await shop.change(
        "UPDATE payment_refunds SET due_at = now(), lease_until = NULL WHERE due_at IS NOT NULL AND purchase_id = %s",
        purchase.id,
    )
    for refund in await shop.refunds(purchase):
        await pouch.refunding.carry_out(refund.id)


async def assert_refunded_once(shop: Shop, purchase: Purchase) -> None:
    (refund,) = await shop.refunds(purchase)
    assert (refund.state, refund.taken, refund.held) == ("succeeded", Money.parse("4"), ZERO)
    assert await shop.count("cards_refunds", f"intent_id = '{purchase.payment_id}'") == 1
    assert await shop.count("ledger_transfers", f"kind = 'refund' AND cause = '{purchase.id}'") == 1
    assert await shop.count("mail_letters", f"key = 'refund:{refund.id}'") == 1
    has = await shop.has()
    assert (has.posted, has.held, has.debt) == (Money.parse("6"), ZERO, ZERO)
    await shop.assert_clean()


@pytest.mark.parametrize("commits", [False, True], ids=["before_the_commit", "after_the_commit"])
async def test_a_death_at_any_transaction_leaves_one_refund(shop: Shop, database_url: str, *, commits: bool) -> None:
    deaths = 0
    while True:
        purchase = await shop.buy("10.00")
        async with MortalDatabase(database_url, dies_at=deaths + 1, commits=commits) as mortal:
            pouch = Pouch(mortal, api_base=shop.cards.api_base)
            try:
                await tell(shop, pouch, purchase)
            except PowerCut:
                deaths += 1
            else:
                break
            finally:
                await pouch.processor.close()
        await shop.change("UPDATE payment_events SET due_at = now(), lease_until = NULL WHERE due_at IS NOT NULL")
        await tell(shop, shop.pouch, purchase)
        await assert_refunded_once(shop, purchase)
        await shop.next_alice()
    await assert_refunded_once(shop, purchase)
    assert deaths == mortal.count


async def test_an_answer_lost_at_any_request_leaves_one_refund(shop: Shop) -> None:
    for answers in range(7):
        purchase = await shop.buy("10.00")
        async with FarEnd.before(shop.cards.api_base) as far_end:
            far_end.answers = answers
            pouch = Pouch(shop.database, api_base=far_end.url, timeout_s=1)
            await tell(shop, pouch, purchase)
            await pouch.processor.close()
        await shop.change("UPDATE payment_events SET due_at = now() WHERE due_at IS NOT NULL")
        await tell(shop, shop.pouch, purchase)
        await assert_refunded_once(shop, purchase)
        await shop.next_alice()
