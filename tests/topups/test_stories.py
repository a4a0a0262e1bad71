"""The failure stories of others, each with the rule that keeps it from being ours."""

import asyncio

import pytest

from payments.far_end import FarEnd
from payments.shop import ALICE, Pouch, Shop
from pouch.base.errors import InvalidInput
from pouch.base.money import Money
from pouch.payments import customers, disputes, purchases, suspensions
from pouch.payments.reconciling import Reconciling
from pouch.topups.errors import CardRefused, Suspended
from topups.till import ALWAYS_ASKS, FAILS_LATER, MASTERCARD, Till, wish

pytestmark = pytest.mark.anyio


async def test_story_2_a_purchase_that_is_pressed_again_is_the_same_purchase(till: Till) -> None:
    """Pressed three times with the same form, while the processor is slow: one page, one charge."""
    begun = await asyncio.gather(*(till.shop.start(attempt="one-form") for _ in range(3)))
    assert len({purchase.id for purchase in begun}) == 1
    await till.shop.pay(await till.shop.now(begun[0]))
    await till.pouch.sync.purchase(begun[0].id)
    await till.shop.assert_credited_once()


async def test_story_3_an_auto_recharge_does_not_run_away(till: Till) -> None:
    """A program spends as fast as it can: a minute between charges, the day's count, the month's cap, an alarm."""
    await till.arm(has="10", wanted=wish(threshold="10", amount="20", cap="60", daily_max=3))
    for _ in range(30):
        has = await till.balance()
        if has >= Money.parse("1"):
            await till.spend(str(has)[1:])
        await till.work()
        await till.work()
        await till.time_passes(10)
    assert await till.charges() == 3
    assert await till.letters("top_up") == ["top_up"] * 3
    assert await till.letters("top_up_burst") == ["top_up_burst"]
    assert await till.letters("top_up_blocked") == ["top_up_blocked"]
    assert (await till.states())[-1] == "not_tried"
    await till.audit()


async def test_story_3_two_charges_are_a_minute_apart(till: Till) -> None:
    await till.arm(has="10", wanted=wish(threshold="10", amount="5"))
    await till.spend("1")
    await till.work()
    await till.spend("13")
    await till.work()
    assert await till.charges() == 1
    assert await till.threshold() == "resting"
    await till.time_passes(61)
    await till.work()
    assert await till.charges() == 2
    assert await till.threshold() == "armed"


async def test_story_3_the_month_never_takes_more_than_its_cap(till: Till) -> None:
    """A cap that is no multiple of the amount: the last charge is smaller by whole steps, and then there is none."""
    await till.arm(has="10", wanted=wish(threshold="30", amount="10", cap="50"))
    for _ in range(6):
        if has := await till.balance():
            await till.spend(str(has)[1:])
        await till.work()
        await till.time_passes(61)
        await till.work()
    charged = [attempt.amount for attempt in await till.tries() if attempt.state == "credited"]
    assert sum(amount.nanos for amount in charged) == Money.parse("50").nanos
    assert await till.letters("top_up_blocked") == ["top_up_blocked"]


async def test_story_4_a_declined_card_is_not_tried_again_and_again(till: Till) -> None:
    """Declined, while calls go on for hours. Saving the rule again with the same card changes nothing about it."""
    await till.arm(number=FAILS_LATER)
    await till.spend("6")
    for _ in range(20):
        await till.ask_for("50")
        await till.work()
        await till.time_passes(60)
    assert await till.asked() == 1
    await till.switch_on(wish(threshold="11"))
    await till.work()
    assert await till.asked() == 1
    await till.add_card(MASTERCARD)
    assert (await till.rule()).failures == 1, "a card beside the declined one is no other card yet"
    async with till.shop.database.transaction() as db:
        card = next(each for each in await till.pouch.sync.cards.all(db, till.alice) if each.last4 == "4444")
    await till.pouch.sync.cards.make_default(till.alice, card.id)
    await till.work()
    assert await till.charges() == 1


async def test_story_5_a_pending_payment_counts(till: Till) -> None:
    """A purchase by bank debit is being confirmed: what it brings is not bought a second time."""
    await till.arm(has="15")
    purchase = await till.shop.start("20.00", attempt="debit")
    await till.shop.pay(purchase, number="000123456789")
    assert (await till.pouch.sync.purchase(purchase.id)).state == "processing"
    await till.spend("14")
    await till.work()
    assert await till.crossings() == (0, 0)
    await till.shop.cards.processor.tend()
    await till.pouch.sync.purchase(purchase.id)
    assert await till.balance() == Money.parse("21")
    await till.spend("12")
    await till.work()
    assert await till.charges() == 1


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (wish(threshold="0"), "threshold_usd"),
        (wish(threshold="2000"), "threshold_usd"),
        (wish(amount="4"), "amount_usd"),
        (wish(amount="2000"), "amount_usd"),
        (wish(threshold="990", amount="400", cap="5000"), "threshold_usd"),
        (wish(cap="19"), "cap_usd"),
        (wish(threshold="50", amount="20", cap="59"), "cap_usd"),
        (wish(amount=None, target="12"), "target_usd"),
        (wish(amount=None, target="1001", cap="2000"), "target_usd"),
        (wish(amount=None, target="50", cap="49"), "cap_usd"),
        (wish(daily_max=0), "daily_max"),
        (wish(daily_max=11), "daily_max"),
        (wish(amount="20.001"), "amount_usd"),
    ],
)
async def test_story_6_what_could_never_work_is_refused_when_it_is_saved(
    till: Till, wanted: object, field: str
) -> None:
    await till.add_card()
    with pytest.raises(InvalidInput) as refused:
        await till.switch_on(wanted)  # type: ignore[arg-type]  # a wish
    assert refused.value.field == field


async def test_story_6_a_blocked_top_up_is_visible_and_mailed_once(till: Till) -> None:
    """And it goes on by itself when the window is over, or at once when the limit is raised."""
    await till.arm(has="10", wanted=wish(threshold="10", amount="20", daily_max=1))
    await till.spend("5")
    await till.work()
    await till.spend("24")
    await till.time_passes(61)
    for _ in range(5):
        await till.ask_for("50")
        await till.work()
    blocked = (await till.tries())[-1]
    assert (blocked.state, blocked.code) == ("not_tried", "daily_count")
    assert blocked.reason == "1 a day was reached."
    assert await till.letters("top_up_blocked") == ["top_up_blocked"]
    assert (await till.ask_for("50")).refused.top_up == "paused"
    await till.switch_on(wish(threshold="10", amount="20", daily_max=2))
    await till.work()
    assert await till.charges() == 2


async def test_story_7_nothing_is_made_at_the_processor_until_it_is_needed(till: Till) -> None:
    """Opt-in, and no payment page for anything that nobody asked to pay."""
    await till.give("15")
    await till.spend("15")
    await till.ask_for("1")
    await till.work()
    assert await till.crossings() == (0, 0)
    assert await till.shop.count("cards_customers") == 0
    await till.give("15")
    await till.add_card(ALWAYS_ASKS)
    await till.switch_on()
    await till.spend("8")
    await till.work()
    assert await till.states() == ["needs_action"]
    assert await till.shop.count("cards_sessions", "mode = 'payment'") == 0


async def test_story_12_a_top_up_is_credited_by_whoever_hears_first(till: Till) -> None:
    """The worker dies after the request; a webhook, or somebody who looks at the page, brings the credits."""
    for how in ("webhook", "page"):
        await till.shop.next_alice()
        await till.arm()
        await till.spend("6")
        async with FarEnd.before(till.shop.cards.api_base) as far_end:
            far_end.answers = 0
            pouch = Pouch(till.shop.database, api_base=far_end.url, timeout_s=2)
            await till.work(pouch)
            await pouch.processor.close()
        assert await till.states() == ["unknown"]
        if how == "webhook":
            await till.shop.deliver("payment_intent.succeeded")
        else:
            await till.pouch.sync.visit(till.alice, (await till.tries())[0].id)
        assert await till.states() == ["credited"]
        assert await till.balance() == Money.parse("29")
        await till.audit()
        await till.shop.change("DELETE FROM cards_charges")


async def test_story_13_only_a_payment_that_succeeded_is_credited(till: Till) -> None:
    """What failed after all is taken back once, and that fall of the balance is no reason to charge again."""
    await till.arm()
    await till.spend("6")
    await till.work()
    assert await till.balance() == Money.parse("29")
    await till.shop.change("UPDATE cards_intents SET status = 'canceled'")
    for _ in range(2):
        assert set(await till.shop.deliver()) == {200}
    assert await till.balance() == Money.parse("9")
    assert await till.crossings() == (0, 1)
    await till.work()
    assert await till.asked() == 1


async def test_an_unknown_attempt_is_never_followed_by_a_second_one(till: Till) -> None:
    """The processor is away for a day and a half: the same key for twenty hours, then only a look."""
    await till.arm()
    await till.spend("6")
    async with FarEnd.before(till.shop.cards.api_base) as far_end:
        far_end.trouble = "hang"
        pouch = Pouch(till.shop.database, api_base=far_end.url, timeout_s=0.2)
        for _ in range(4):
            await till.work(pouch)
            await till.ask_for("50")
            await till.time_passes(4 * 3600)
        assert await till.states() == ["unknown"]
        (attempt,) = await till.tries()
        assert set(far_end.keys) == {f"pi:{attempt.id}"}
        await till.time_passes(8 * 3600)
        far_end.keys.clear()
        await till.work(pouch)
        assert far_end.keys == [], "after a day the key might charge anew"
        await pouch.processor.close()
    assert await till.states() == ["unknown"]
    await till.time_passes(3600)
    await till.work()
    assert (await till.states())[0] == "declined"
    assert (await till.tries())[0].code == "not_reached"
    assert await till.charges() == 0


async def test_an_unknown_attempt_that_did_charge_is_found_after_a_day(till: Till) -> None:
    """Its answer was lost, no webhook came, and the key is forgotten: it is found by what it was made for."""
    await till.arm()
    await till.spend("6")
    async with FarEnd.before(till.shop.cards.api_base) as far_end:
        far_end.answers = 0
        pouch = Pouch(till.shop.database, api_base=far_end.url, timeout_s=2)
        await till.work(pouch)
        await pouch.processor.close()
    await till.time_passes(30 * 3600)
    await till.shop.change("UPDATE cards_intents SET created_at = created_at - interval '30 hours'")
    await till.shop.change("DELETE FROM cards_requests")
    await till.work()
    assert await till.states() == ["credited"]
    assert await till.asked() == await till.charges() == 1


async def lose_answer(till: Till) -> None:
    """The card is charged, and the answer never comes."""
    async with FarEnd.before(till.shop.cards.api_base) as far_end:
        far_end.answers = 0
        pouch = Pouch(till.shop.database, api_base=far_end.url, timeout_s=2)
        await till.work(pouch)
        await pouch.processor.close()
    assert await till.states() == ["unknown"]
    await till.time_passes(90)


async def test_a_key_that_is_not_taken_is_no_answer_to_an_unknown_attempt(till: Till) -> None:
    """Charged, the answer lost, and then the operator rolled the key: no second charge an hour later."""
    await till.arm()
    await till.spend("6")
    await lose_answer(till)
    rolled = Pouch(till.shop.database, api_base=till.shop.cards.api_base, secret_key="sk_test_rolled")
    await till.work(rolled)
    await rolled.processor.close()
    assert await till.states() == ["unknown"]
    await till.time_passes(3700)
    await till.work()
    assert await till.states() == ["credited"]
    assert await till.asked() == await till.charges() == 1
    await till.audit()


async def test_a_refusal_is_believed_only_after_a_look(till: Till) -> None:
    """Charged, the answer lost, the key forgotten early, and the card taken off meanwhile: the charge still counts."""
    await till.arm()
    await till.spend("6")
    await lose_answer(till)
    await till.shop.change("DELETE FROM cards_requests")
    async with till.shop.database.transaction() as db:
        card = await till.pouch.sync.cards.default(db, till.alice)
    assert card is not None
    await till.pouch.processor.detach(card.stripe_id)
    await till.work()
    assert await till.states() == ["credited"]
    assert await till.asked() == await till.charges() == 1
    await till.audit()


async def test_where_even_the_look_is_refused_an_attempt_stays_unknown_and_the_operators_hear_of_it(till: Till) -> None:
    """The operator named another account: it knows nothing of this customer, so it can say nothing of their payment."""
    await till.arm()
    await till.spend("6")
    await lose_answer(till)
    async with till.shop.database.transaction() as db:
        known = await customers.find_customer(db, till.alice, "embedded")
    await till.shop.change("UPDATE payment_purchases SET customer = 'cus_of_the_other_account'")
    await till.work()
    await till.ask_for("50")
    assert await till.states() == ["unknown"]
    await till.time_passes(10 * 86400)
    for table in ("cards_intents", "cards_events"):
        await till.shop.change(f"UPDATE {table} SET created_at = created_at - interval '10 days'")
    await till.work()
    assert await till.states() == ["unknown"]
    (said,) = await differences(till.shop, "top_up")
    assert "Whether the top-up" in said
    await till.shop.change("UPDATE payment_purchases SET customer = %s", known)
    await till.time_passes(3600)
    await till.work()
    assert await till.states() == ["credited"]
    assert await differences(till.shop, "top_up") == []
    assert await till.asked() == await till.charges() == 1


async def differences(shop: Shop, what: str) -> list[str]:
    """What a reconciliation leaves open about this kind of purchase."""
    await Reconciling(shop.database, shop.pouch.processor, shop.pouch.sync, shop.pouch.inbox).check("clock")
    async with shop.database.transaction() as db:
        rows = await db.execute(
            """
            SELECT d.what FROM payment_differences AS d JOIN payment_purchases AS p ON p.id = d.purchase_id
             WHERE d.repaired_at IS NULL AND d.gone_at IS NULL AND p.kind = %s
            """,
            (what,),
        )
        return [said for (said,) in await rows.fetchall()]


async def test_a_debt_or_a_dispute_suspends_it(till: Till) -> None:
    await till.arm()
    async with till.shop.database.transaction() as db:
        await suspensions.suspend(db, till.alice, cause="dispute:dp_1", reason="A payment is disputed.")
    await till.spend("6")
    await till.work()
    rule = await till.rule()
    assert (rule.state, rule.pause, rule.reason) == ("suspended", "suspended", "A payment is disputed.")
    assert await till.asked() == 0
    await till.add_card(MASTERCARD)
    assert (await till.rule()).state == "suspended"
    async with till.shop.database.transaction() as db:
        await suspensions.lift(db, till.alice, cause="dispute:dp_1")
        await suspensions.suspend(db, till.alice, cause="dispute:dp_1", reason="It comes late.")
    await till.switch_on()
    await till.work()
    assert await till.charges() == 1


async def test_a_warning_of_fraud_suspends_it_until_an_operator_trusts_the_purchase(till: Till) -> None:
    await till.arm(has="5", wanted=wish(threshold="10", amount="20"))
    await till.work()
    (attempt,) = await till.tries()
    async with till.shop.database.transaction() as db:
        purchase = await purchases.get_purchase(db, attempt.id)
    await till.shop.warn(purchase)
    for _ in range(2):
        await till.shop.deliver("radar.early_fraud_warning.created")
    rule = await till.rule()
    assert (rule.state, rule.pause) == ("suspended", "suspended")
    assert "may be fraud" in rule.reason
    await till.time_passes(61)
    await till.spend("20")
    await till.work()
    with pytest.raises(Suspended):
        await till.switch_on()
    assert await till.asked() == 1
    async with till.shop.database.transaction() as db:
        assert await disputes.trust(db, purchase) == 1
    await till.shop.deliver("radar.early_fraud_warning.created")
    assert (await till.rule()).state == "suspended", "a person switches it on again"
    await till.switch_on()
    await till.work()
    assert await till.charges() == 2


async def test_a_suspected_payment_that_is_refunded_whole_suspends_nothing_more(till: Till) -> None:
    await till.arm()
    purchase = await till.shop.buy("10.00")
    await till.shop.warn(purchase)
    await till.shop.deliver()
    await till.shop.refund(purchase, "4.00", "one")
    with pytest.raises(Suspended):
        await till.switch_on()
    await till.shop.refund(purchase, "6.00", "two")
    await till.shop.deliver()
    assert (await till.switch_on()).state == "armed"


async def test_a_warning_that_comes_after_the_refund_suspends_nothing(till: Till) -> None:
    await till.arm()
    purchase = await till.shop.buy("10.00")
    await till.shop.warn(purchase)
    await till.shop.refund(purchase, "10.00")
    await till.shop.deliver()
    assert (await till.rule()).state == "armed"


async def disputed(till: Till) -> str:
    """Alice's card was charged by itself, and she told her bank that it was not her."""
    await till.arm(has="15")
    await till.spend("6")
    await till.work()
    (attempt,) = await till.tries()
    async with till.shop.database.transaction() as db:
        purchase = await purchases.get_purchase(db, attempt.id)
    dispute = await till.shop.object_to(purchase)
    await till.shop.deliver()
    rule = await till.rule()
    assert (rule.state, rule.pause) == ("suspended", "suspended"), "before anything else is wanted"
    return dispute


async def test_a_won_dispute_lets_a_person_switch_it_on_again(till: Till) -> None:
    dispute = await disputed(till)
    await till.shop.decide(dispute, "won")
    await till.shop.deliver()
    await till.time_passes(61)
    await till.spend("25")
    await till.work()
    assert (await till.rule()).state == "suspended"
    assert await till.charges() == 1
    await till.switch_on()
    await till.work()
    assert await till.charges() == 2


async def test_a_card_whose_dispute_was_lost_is_not_charged_again(till: Till) -> None:
    """Each further charge would be another chargeback, with its fee."""
    dispute = await disputed(till)
    await till.shop.decide(dispute, "lost")
    for _ in range(2):
        await till.shop.deliver()
    rule = await till.rule()
    assert (rule.state, rule.pause) == ("paused", "card_refused")
    await till.time_passes(4000)
    await till.spend("1")
    await till.work()
    with pytest.raises(CardRefused):
        await till.switch_on()
    assert await till.asked() == 1
    await till.add_card(MASTERCARD)
    assert (await till.rule()).state == "armed"
    await till.work()
    assert await till.charges() == 2
    await till.shop.deliver()
    assert (await till.rule()).state == "armed", "old news stops nothing twice"


async def test_a_lost_dispute_of_another_card_stops_the_rule_until_a_person_wants_it(till: Till) -> None:
    await till.arm()
    purchase = await till.shop.buy("10.00", number=MASTERCARD)
    dispute = await till.shop.object_to(purchase)
    await till.shop.decide(dispute, "lost")
    await till.shop.deliver("charge.dispute.closed")
    assert (await till.rule()).state == "suspended"
    assert (await till.switch_on()).state == "armed"


async def test_a_suspension_between_judging_and_charging_is_heeded(till: Till) -> None:
    await till.arm()
    await till.spend("6")
    await till.pouch.topups.judge.look(till.alice)
    async with till.shop.database.transaction() as db:
        await suspensions.suspend(db, till.alice, cause="fraud:1", reason="The bank warned of fraud.")
    await till.work()
    assert await till.asked() == 0
    assert await till.states() == ["not_tried"]


async def test_the_bank_may_want_its_customer(till: Till) -> None:
    """Confirmation: the payment is cancelled, the rule pauses, a link is mailed; paid on the page, it is recovered."""
    await till.arm(number=ALWAYS_ASKS)
    await till.spend("6")
    await till.work()
    assert await till.states() == ["needs_action"]
    assert await till.shop.count("cards_intents", "status = 'canceled'") == 1
    assert (await till.rule()).pause == "needs_confirmation"
    assert (await till.letters())[-1] == "top_up_confirm"
    topups = till.pouch.topups
    token = topups.recovery._links.token((await till.tries())[0].id)  # noqa: SLF001 -- what the letter holds
    purchase = await topups.recovery.begin(token)
    assert (await topups.recovery.begin(token)).id == purchase.id
    await till.shop.pay(purchase, number=ALWAYS_ASKS)
    await till.pouch.sync.purchase(purchase.id)
    assert await till.states() == ["recovered"]
    assert (await till.rule()).state == "armed"
    assert await till.balance() == Money.parse("29")
    await till.work()
    assert await till.asked() == 1, "the gap is filled, so nothing more is charged"


async def test_a_letter_about_a_charge_goes_to_whoever_switched_it_on(till: Till) -> None:
    await till.arm()
    await till.spend("6")
    await till.work()
    assert await till.shop.count("mail_letters", f"kind LIKE 'top_up%' AND to_address <> '{ALICE}'") == 0
    assert await till.shop.count("mail_letters", "kind LIKE 'top_up%'") == 2
