"""Five of the fifteen failure stories that other products had with money, each told here with its good end."""

import asyncio

import pytest

from payments.shop import Shop
from pouch.base.ids import new_id
from pouch.base.money import ZERO, Money
from pouch.embedded.cards.delivery import sign
from pouch.ledger.errors import Refusal
from pouch.ledger.operations import Hold
from pouch.ledger.posting import post
from pouch.web.filters import aligned, dollars, exact
from support.cards import WEBHOOK_SECRET

pytestmark = pytest.mark.anyio


async def test_story_01_an_event_that_is_sent_again_credits_nothing_again(shop: Shop) -> None:
    """Every event of one payment, ten times each and all at once."""
    purchase = await shop.start("10.00")
    await shop.pay(purchase)
    bodies = await shop.events() * 10
    answers = await asyncio.gather(*(shop.pouch.post(body, sign(body, WEBHOOK_SECRET)) for body in bodies))
    assert set(answers) == {200}
    await shop.assert_credited_once()


async def test_story_08_calls_at_the_same_moment_never_go_below_zero(shop: Shop) -> None:
    """$1 bought; thirty calls of ten cents want to begin at once."""
    purchase = await shop.buy("5.00")
    await shop.refund(purchase, "4.00")

    async def call() -> bool:
        try:
            async with shop.database.transaction() as db:
                await post(db, [Hold(new_id(), shop.alice, Money.parse("0.10").nanos)])
        except Refusal:
            return False
        return True

    begun = await asyncio.gather(*(call() for _ in range(30)))
    assert sum(begun) == 10
    has = await shop.has()
    assert (has.available, has.posted) == (ZERO, Money.parse("1"))
    await shop.assert_clean()


async def test_story_11_refunds_and_chargebacks_take_credits_and_a_won_dispute_gives_them_back(shop: Shop) -> None:
    """In dollars each time, never in cents taken for credits, and mapped through the payment."""
    purchase = await shop.buy("10.00")
    await shop.refund_there(purchase, "2.50")
    await shop.deliver("refund.created")
    assert (await shop.has()).posted == Money.parse("7.50")
    dispute = await shop.object_to(purchase, usd="7.50")
    await shop.deliver("charge.dispute.created")
    assert (await shop.has()).posted == ZERO
    await shop.decide(dispute, "won")
    await shop.deliver("charge.dispute.closed")
    assert (await shop.has()).posted == Money.parse("7.50")
    await shop.assert_clean()


async def test_story_13_a_payment_that_fails_after_it_was_settled_is_taken_back_and_said(shop: Shop) -> None:
    purchase = await shop.buy("10.00")
    await shop.change("UPDATE cards_intents SET status = 'canceled'")
    await shop.pouch.sync.object(str(purchase.payment_id))
    assert (await shop.has()).posted == ZERO
    assert (await shop.now(purchase)).state == "refunded"
    assert "payment_failed_after_all" in await shop.mails()


def test_story_14_what_costs_less_than_a_cent_is_never_shown_as_nothing() -> None:
    """A charge of one nano-dollar, a balance of half a cent."""
    assert exact(Money(1)) == "<$0.000001"
    assert exact(Money(-4_000)) == "\N{MINUS SIGN}$0.000004"
    assert dollars(Money(5_000_000)) == "<$0.01"
    assert "0.000004" in aligned(Money(4_000))
    assert Money(1).decimal() == "0.000000001"
