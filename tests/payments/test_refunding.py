"""Giving money back: held before the processor hears of it, posted once, and given up only on a definite no."""

import asyncio
from datetime import timedelta

import pytest
from psycopg.types.json import Jsonb

from payments.far_end import FarEnd
from payments.shop import OpenShop, Pouch, Shop
from pouch.base.errors import InvalidInput
from pouch.base.money import ZERO, Money
from pouch.payments import refunds
from pouch.payments.errors import NotRefundable
from pouch.payments.refunds import Refund
from pouch.payments.types import Purchase
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]


async def test_an_operators_refund_goes_to_the_card_and_comes_out_of_the_credits(shop: Shop) -> None:
    purchase = await shop.buy("10.00")
    refund = await shop.refund(purchase, "4.00")
    assert (refund.state, refund.held, refund.taken, refund.owed) == ("succeeded", ZERO, Money.parse("4"), ZERO)
    assert (await shop.now(purchase)).state == "part_refunded"
    has = await shop.has()
    assert (has.posted, has.held) == (Money.parse("6"), ZERO)
    assert await shop.moved("refund_clearing") == Money.parse("4")
    assert await shop.mails() == ["purchase", "refund"]
    await shop.deliver()
    assert await shop.count("cards_refunds") == 1
    assert (await shop.has()).posted == Money.parse("6")
    await shop.assert_clean()


async def test_what_is_left_may_be_refunded_too_and_no_more(shop: Shop) -> None:
    purchase = await shop.buy("10.00")
    await shop.refund(purchase, "4.00", "one")
    with pytest.raises(InvalidInput, match=r"At most \$6\.00"):
        await shop.refund(purchase, "6.01", "two")
    await shop.refund(purchase, "6.00", "three")
    assert (await shop.now(purchase)).state == "refunded"
    with pytest.raises(NotRefundable):
        await shop.refund(purchase, "0.01", "four")
    assert (await shop.has()).posted == ZERO
    await shop.assert_clean()


async def test_a_form_sent_twice_refunds_once(shop: Shop) -> None:
    purchase = await shop.buy("10.00")
    await asyncio.gather(*(shop.refund(purchase, "4.00") for _ in range(5)))
    assert await shop.count("cards_refunds") == 1
    assert (await shop.has()).posted == Money.parse("6")
    assert await shop.mails() == ["purchase", "refund"]


async def test_ten_refunds_at_once_give_back_no_more_than_was_paid(shop: Shop) -> None:
    purchase = await shop.buy("10.00")
    tries = [shop.refund(purchase, "3.00", f"n{number}") for number in range(10)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(each, BaseException) for each in done) == 3
    assert await shop.count("cards_refunds") == 3
    assert (await shop.has()).posted == Money.parse("1")
    await shop.assert_clean()


async def test_credits_cannot_be_spent_while_a_refund_is_on_its_way(shop: Shop) -> None:
    """No answer is no failure: the credits stay held, and nobody can say that nothing happened."""
    purchase = await shop.buy("10.00")
    async with FarEnd.before(shop.cards.api_base) as far_end:
        far_end.trouble = "hang"
        away = Pouch(shop.database, api_base=far_end.url, timeout_s=0.3)
        refund = await shop.refund(purchase, "10.00", pouch=away)
        await away.processor.close()
    assert (refund.state, refund.held) == ("unknown", Money.parse("10"))
    has = await shop.has()
    assert (has.posted, has.available) == (Money.parse("10"), ZERO)
    assert (await shop.now(purchase)).state == "credited"


async def test_a_refund_without_an_answer_is_sent_again_with_the_same_key(shop: Shop) -> None:
    """The processor did it, and its answer was lost: one refund there, one posting here."""
    purchase = await shop.buy("10.00")
    async with FarEnd.before(shop.cards.api_base) as far_end:
        far_end.trouble = "cut"
        away = Pouch(shop.database, api_base=far_end.url, timeout_s=0.5)
        refund = await shop.refund(purchase, "4.00", pouch=away)
        await away.processor.close()
    assert refund.state == "unknown"
    assert await shop.count("cards_refunds") == 1
    await shop.change("UPDATE payment_refunds SET due_at = now()")
    await shop.pouch.refunding.carry_out(refund.id)
    (after,) = await shop.refunds(purchase)
    assert (after.state, after.taken) == ("succeeded", Money.parse("4"))
    assert await shop.count("cards_refunds") == 1
    assert (await shop.has()).available == Money.parse("6")
    await shop.assert_clean()


@pytest.mark.parametrize(("was_made", "state"), [(True, "succeeded"), (False, "failed")])
async def test_an_unknown_refund_is_looked_up_once_its_key_may_be_forgotten(
    shop: Shop, was_made: bool, state: str
) -> None:
    """After a day the same key would refund a second time, so nothing is sent any more."""
    purchase = await shop.buy("10.00")
    async with FarEnd.before(shop.cards.api_base) as far_end:
        far_end.trouble = "cut" if was_made else "hang"
        away = Pouch(shop.database, api_base=far_end.url, timeout_s=0.5)
        refund = await shop.refund(purchase, "4.00", pouch=away)
        await away.processor.close()
    await shop.change("UPDATE payment_refunds SET due_at = now(), created_at = now() - interval '21 hours'")
    await shop.change("DELETE FROM cards_requests")
    await shop.pouch.refunding.carry_out(refund.id)
    (after,) = await shop.refunds(purchase)
    assert after.state == state
    assert await shop.count("cards_refunds") == (1 if was_made else 0)
    assert (await shop.has()).available == Money.parse("6" if was_made else "10")
    await shop.assert_clean()


async def test_a_refused_refund_gives_the_credits_back(shop: Shop) -> None:
    """Somebody refunded all of it at the processor's own site just before."""
    purchase = await shop.buy("10.00")
    await shop.change("UPDATE cards_charges SET amount_refunded_cents = amount_cents")
    refund = await shop.refund(purchase, "4.00")
    assert (refund.state, refund.held) == ("failed", ZERO)
    assert (await shop.has()).available == Money.parse("10")
    assert "refund_failed" in await shop.mails()


async def lose_answer(shop: Shop, purchase: Purchase, usd: str) -> Refund:
    """The processor refunds, and its answer never comes."""
    async with FarEnd.before(shop.cards.api_base) as far_end:
        far_end.trouble = "cut"
        away = Pouch(shop.database, api_base=far_end.url, timeout_s=0.5)
        refund = await shop.refund(purchase, usd, pouch=away)
        await away.processor.close()
    assert refund.state == "unknown"
    assert await shop.count("cards_refunds") == 1
    return refund


async def carry_out(shop: Shop, refund: Refund, pouch: Pouch | None = None) -> str:
    """A worker takes it up. What it is then."""
    await shop.change("UPDATE payment_refunds SET due_at = now()")
    await (pouch or shop.pouch).refunding.carry_out(refund.id)
    async with shop.database.transaction() as db:
        return (await refunds.get_refund(db, refund.id)).state


async def test_a_key_that_is_not_taken_is_no_answer_to_an_unknown_refund(shop: Shop) -> None:
    """Refunded, the answer lost, and then the operator rolled the key: nobody gets the money and the credits."""
    purchase = await shop.buy("10.00")
    refund = await lose_answer(shop, purchase, "4.00")
    rolled = Pouch(shop.database, api_base=shop.cards.api_base, secret_key="sk_test_rolled")
    assert await carry_out(shop, refund, rolled) == "unknown"
    await rolled.processor.close()
    assert (await shop.has()).available == Money.parse("6")
    assert await carry_out(shop, refund) == "succeeded"
    assert (await shop.has()).posted == Money.parse("6")
    assert "refund_failed" not in await shop.mails()
    await shop.assert_clean()


async def test_a_refusal_is_believed_only_after_a_look(shop: Shop) -> None:
    """Refunded whole, the answer lost, the key forgotten early: the second request is refused because of the first."""
    purchase = await shop.buy("10.00")
    refund = await lose_answer(shop, purchase, "10.00")
    await shop.change("DELETE FROM cards_requests")
    assert await carry_out(shop, refund) == "succeeded"
    assert (await shop.has()).posted == ZERO
    assert (await shop.now(purchase)).state == "refunded"
    await shop.assert_clean()


async def test_a_processor_that_does_not_know_the_payment_says_nothing_of_its_refund(shop: Shop) -> None:
    """The operator named another account for a while."""
    purchase = await shop.buy("10.00")
    refund = await lose_answer(shop, purchase, "4.00")
    await shop.change("UPDATE payment_purchases SET payment_id = 'pi_of_the_other_account'")
    assert await carry_out(shop, refund) == "unknown"
    await shop.change("UPDATE payment_purchases SET payment_id = %s", purchase.payment_id)
    async with shop.database.transaction() as db:
        assert await refunds.unanswered(db, "embedded", timedelta(days=1)) == []
        (waiting,) = await refunds.unanswered(db, "embedded", timedelta(0))
    assert waiting.id == refund.id
    assert await carry_out(shop, refund) == "succeeded"
    assert (await shop.has()).posted == Money.parse("6")
    await shop.assert_clean()


async def test_a_refund_that_was_given_up_and_is_alive_takes_the_credits(shop: Shop) -> None:
    """It was looked for before the processor's list had it."""
    purchase = await shop.buy("10.00")
    refund = await lose_answer(shop, purchase, "4.00")
    await shop.change("UPDATE payment_refunds SET created_at = now() - interval '21 hours'")
    await shop.change("UPDATE cards_refunds SET metadata = '{}'")
    assert await carry_out(shop, refund) == "failed"
    assert (await shop.has()).available == Money.parse("10")
    await shop.spend("9")
    mark = Jsonb({"refund": refund.shown_id})
    await shop.change("UPDATE cards_refunds SET metadata = %s", mark)
    for _ in range(2):
        await shop.deliver("refund.created")
    (after,) = await shop.refunds(purchase)
    assert (after.state, after.taken, after.owed) == ("succeeded", Money.parse("1"), Money.parse("3"))
    assert (await shop.now(purchase)).state == "part_refunded"
    assert await shop.mails() == ["purchase", "refund_failed", "refund"]
    await shop.assert_clean()


async def test_a_refund_of_spent_credits_becomes_a_debt_that_the_next_purchase_pays(shop: Shop) -> None:
    purchase = await shop.buy("10.00")
    await shop.spend("7")
    refund = await shop.refund(purchase, "10.00")
    assert (refund.taken, refund.owed) == (Money.parse("3"), Money.parse("7"))
    has = await shop.has()
    assert (has.posted, has.debt) == (ZERO, Money.parse("7"))
    await shop.buy("10.00", "second")
    has = await shop.has()
    assert (has.posted, has.debt) == (Money.parse("3"), ZERO)
    assert await shop.count("mail_letters", "kind = 'purchase' AND context->>'paid_debt' = '$7.00'") == 1
    await shop.assert_clean()


async def test_a_refund_made_at_the_processor_is_found_by_its_event(shop: Shop) -> None:
    purchase = await shop.buy("10.00")
    async with shop.cards.client() as client:
        await client.v1.refunds.create_async({"payment_intent": str(purchase.payment_id), "amount": 250})
    await shop.deliver("refund.created")
    (refund,) = await shop.refunds(purchase)
    assert (refund.source, refund.state, refund.taken) == ("stripe", "succeeded", Money.parse("2.50"))
    assert (await shop.now(purchase)).state == "part_refunded"
    await shop.deliver("charge.refunded", "refund.created")
    assert (await shop.has()).posted == Money.parse("7.50")
    await shop.assert_clean()


async def test_a_refund_that_comes_back_gives_the_credits_back(open_shop: OpenShop) -> None:
    """Its bank could not take the money: first it succeeded, then it failed."""
    async with open_shop(settle_after_s=60) as shop:
        purchase = await shop.buy("10.00", number="4000000000005126")
        refund = await shop.refund(purchase, "4.00")
        assert (await shop.has()).posted == Money.parse("6")
        await shop.change("UPDATE cards_refunds SET settle_at = now()")
        await shop.cards.processor.tend()
        await shop.deliver("refund.failed")
        (after,) = await shop.refunds(purchase)
        assert (refund.id, after.state) == (after.id, "failed")
        assert (await shop.has()).posted == Money.parse("10")
        assert (await shop.now(purchase)).state == "credited"
        assert await shop.moved("refund_clearing") == ZERO
        assert await shop.mails() == ["purchase", "refund", "refund_failed"]
        await shop.assert_clean()


async def test_a_refund_that_is_pending_is_posted_when_the_bank_has_it(open_shop: OpenShop) -> None:
    async with open_shop(settle_after_s=60) as shop:
        purchase = await shop.buy("10.00", number="4000000000007726")
        refund = await shop.refund(purchase, "10.00")
        assert (refund.state, refund.held) == ("pending", Money.parse("10"))
        assert (await shop.has()).available == ZERO
        await shop.change("UPDATE cards_refunds SET settle_at = now()")
        await shop.cards.processor.tend()
        await shop.deliver("refund.updated")
        (after,) = await shop.refunds(purchase)
        assert (after.state, after.held, after.taken) == ("succeeded", ZERO, Money.parse("10"))
        assert (await shop.now(purchase)).state == "refunded"
        await shop.assert_clean()
