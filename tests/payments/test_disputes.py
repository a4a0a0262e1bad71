"""A cardholder objects: the credits go when the money goes, and come back when it comes back."""

import pytest

from payments.shop import OpenShop, Shop
from pouch.base.ids import new_id
from pouch.base.money import ZERO, Money
from pouch.identity.people import add_person
from pouch.payments.errors import NotRefundable

pytestmark = pytest.mark.anyio

TEN = Money.parse("10")


async def test_a_dispute_freezes_the_credits_and_a_won_one_gives_them_back(shop: Shop) -> None:
    """Story 11: withdrawn at opening, reinstated on a win, in dollars both times."""
    purchase = await shop.buy("10.00")
    dispute = await shop.object_to(purchase)
    await shop.deliver("charge.dispute.created", "charge.dispute.funds_withdrawn")
    assert (await shop.now(purchase)).state == "disputed"
    assert (await shop.has()).posted == ZERO
    assert await shop.moved("stripe_clearing") == ZERO
    await shop.decide(dispute, "won")
    await shop.deliver("charge.dispute.closed", "charge.dispute.funds_reinstated")
    assert (await shop.now(purchase)).state == "credited"
    assert (await shop.has()).posted == TEN
    assert await shop.mails() == ["purchase", "dispute_opened", "dispute_won"]
    await shop.assert_clean()


async def test_a_lost_dispute_is_final(shop: Shop) -> None:
    purchase = await shop.buy("10.00")
    dispute = await shop.object_to(purchase)
    await shop.decide(dispute, "lost")
    await shop.deliver()
    assert (await shop.now(purchase)).state == "dispute_lost"
    assert (await shop.has()).posted == ZERO
    assert await shop.mails() == ["purchase", "dispute_opened", "dispute_lost"]
    with pytest.raises(NotRefundable):
        await shop.refund(purchase, "1.00")


async def test_a_dispute_of_spent_credits_is_owed_and_paid_work_stops(shop: Shop) -> None:
    purchase = await shop.buy("10.00")
    await shop.spend("9.25")
    await shop.object_to(purchase)
    await shop.deliver()
    has = await shop.has()
    assert (has.posted, has.debt) == (ZERO, Money.parse("9.25"))
    (dispute,) = await shop.disputes(purchase)
    assert dispute.owed == Money.parse("9.25")
    await shop.decide(dispute.stripe_id, "won")
    await shop.deliver()
    has = await shop.has()
    assert (has.posted, has.debt) == (Money.parse("0.75"), ZERO)
    await shop.assert_clean()


async def test_an_inquiry_moves_no_money_until_it_becomes_a_dispute(shop: Shop) -> None:
    purchase = await shop.buy("10.00")
    dispute = await shop.object_to(purchase, inquiry=True)
    await shop.deliver()
    assert (await shop.now(purchase)).state == "credited"
    assert (await shop.has()).posted == TEN
    await shop.decide(dispute, "escalated")
    await shop.deliver()
    assert (await shop.now(purchase)).state == "disputed"
    assert (await shop.has()).posted == ZERO


async def test_an_inquiry_that_is_closed_leaves_nothing_behind(shop: Shop) -> None:
    purchase = await shop.buy("10.00")
    dispute = await shop.object_to(purchase, inquiry=True)
    await shop.decide(dispute, "closed")
    await shop.deliver()
    (row,) = await shop.disputes(purchase)
    assert (row.status, row.is_open, row.counts) == ("warning_closed", False, ZERO)
    assert await shop.mails() == ["purchase"]


async def test_a_refund_and_a_dispute_together_take_no_more_than_was_bought(shop: Shop) -> None:
    """Refunded $4 and charged back $10 of $10: the customer loses $10, the operator the $4 beyond it."""
    purchase = await shop.buy("10.00")
    await shop.refund(purchase, "4.00")
    dispute = await shop.object_to(purchase)
    await shop.deliver()
    has = await shop.has()
    assert (has.posted, has.debt) == (ZERO, ZERO)
    assert await shop.moved("writeoff") == -Money.parse("4")
    await shop.decide(dispute, "won")
    await shop.deliver()
    assert (await shop.has()).posted == Money.parse("6")
    assert await shop.moved("writeoff") == ZERO
    assert (await shop.now(purchase)).state == "part_refunded"
    await shop.assert_clean()


async def test_a_refund_after_a_lost_dispute_costs_the_customer_nothing_more(shop: Shop) -> None:
    """Somebody refunds at the processor what the bank has given back already."""
    purchase = await shop.buy("10.00")
    dispute = await shop.object_to(purchase)
    await shop.decide(dispute, "lost")
    await shop.deliver()
    await shop.change("UPDATE cards_disputes SET status = 'won' WHERE id = %s", dispute)
    refund = await shop.refund_there(purchase, "10.00")
    await shop.change("UPDATE cards_disputes SET status = 'lost' WHERE id = %s", dispute)
    await shop.deliver("refund.created")
    assert (await shop.now(purchase)).state == "dispute_lost"
    has = await shop.has()
    assert (has.posted, has.debt) == (ZERO, ZERO)
    assert refund
    assert await shop.moved("refund_clearing") == TEN
    assert await shop.moved("writeoff") == -TEN
    await shop.assert_clean()


async def test_a_dispute_that_comes_before_the_credit_credits_first(shop: Shop) -> None:
    """No event of the payment ever came; the first news of it is that it is disputed."""
    purchase = await shop.start("10.00")
    await shop.pay(purchase)
    await shop.object_to(purchase)
    await shop.deliver("charge.dispute.funds_withdrawn")
    assert (await shop.now(purchase)).state == "disputed"
    assert (await shop.has()).posted == ZERO
    assert await shop.count("ledger_transfers", f"cause = '{purchase.id}'") == 2
    await shop.assert_clean()


async def test_a_test_card_that_disputes_does_so_by_itself(open_shop: OpenShop) -> None:
    async with open_shop(settle_after_s=0) as shop:
        purchase = await shop.buy("10.00", number="4000000000002685")
        await shop.cards.processor.tend()
        await shop.deliver()
        (dispute,) = await shop.disputes(purchase)
        assert (dispute.reason, dispute.is_open) == ("product_not_received", True)
        assert dispute.evidence_due_at is not None


async def test_operators_are_told_of_disputes_and_warnings_once(shop: Shop) -> None:
    email = f"olga-{new_id().hex}@pouch.example"
    async with shop.database.transaction() as db:
        await db.execute("UPDATE identity_people SET is_operator = false")
        await add_person(db, email, None, verified=True, operator=True)
    purchase = await shop.buy("10.00")
    await shop.warn(purchase)
    await shop.object_to(purchase)
    for _ in range(2):
        await shop.deliver()
    alerts = f"kind = 'operator_alert' AND to_address = '{email}'"
    assert await shop.count("mail_letters", alerts) == 2
    assert await shop.count("mail_letters", f"{alerts} AND context->>'what' = 'A payment of $10.00 may be fraud'") == 1
    assert await shop.count("payment_warnings", "NOT is_actionable") == 0
    assert await shop.count("payment_events", "state = 'flagged'") == 0


async def test_a_dispute_about_nothing_of_ours_is_kept_for_the_operator(shop: Shop) -> None:
    purchase = await shop.buy("10.00")
    await shop.object_to(purchase)
    await shop.change("UPDATE cards_sessions SET client_reference_id = 'elsewhere'")
    await shop.deliver("charge.dispute.created")
    assert await shop.count("payment_events", "state = 'flagged'") == 1
    assert (await shop.has()).posted == TEN
