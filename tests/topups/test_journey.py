"""From a saved card to credits that came by themselves, and the rule's machine row by row."""

import pytest

from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.ledger.operations import Hold
from pouch.ledger.posting import post
from topups.till import ALWAYS_ASKS, FAILS_LATER, MASTERCARD, VISA, Till, wish

pytestmark = pytest.mark.anyio


async def test_credits_come_by_themselves_when_the_balance_runs_low(till: Till) -> None:
    """$15, below $10 buy $20: nothing at $15, one charge at $9."""
    await till.arm()
    await till.work()
    assert await till.charges() == 0
    await till.spend("6")
    await till.work()
    assert await till.balance() == Money.parse("29")
    assert await till.states() == ["credited"]
    assert await till.charges() == 1
    assert await till.letters() == ["top_up_changed", "top_up"]
    assert await till.crossings() == (0, 1)
    assert (await till.rule()).state == "armed"
    await till.audit()


async def test_switching_on_below_the_threshold_charges_at_once(till: Till) -> None:
    await till.arm(has="3")
    await till.work()
    assert await till.balance() == Money.parse("23")


async def test_a_refused_call_makes_the_charge(till: Till) -> None:
    """Balance $3 with the threshold crossed while the rule was off: the next call that is refused starts it."""
    await till.arm(has="15")
    await till.shop.change("UPDATE ledger_thresholds SET state = 'paused'")
    await till.spend("12")
    await till.shop.change("UPDATE ledger_thresholds SET state = 'armed'")
    refused = (await till.ask_for("5")).refused
    assert (refused.top_up, refused.may_wait, refused.awaits_top_up) == ("pending", True, True)
    await till.work()
    assert await till.balance() == Money.parse("23")


async def test_open_holds_do_not_cross_the_threshold(till: Till) -> None:
    """Judged on the posted balance: $15 of which $14 is held is $15."""
    await till.arm()
    async with till.shop.database.transaction() as db:
        await post(db, [Hold(new_id(), till.alice, Money.parse("14").nanos)])
    refused = (await till.ask_for("5")).refused
    assert (refused.top_up, refused.awaits_top_up) == ("armed", False)
    assert await till.crossings() == (0, 0)


async def test_one_charge_closes_the_whole_gap_in_whole_steps(till: Till) -> None:
    """Story 5: far below the threshold is one charge, not one per step."""
    await till.arm(has="60", wanted=wish(threshold="50", amount="20", cap="300"))
    await till.spend("55")
    await till.work()
    assert await till.balance() == Money.parse("65")
    assert [str(attempt.amount) for attempt in await till.tries()] == ["$60.000000000"]
    assert await till.charges() == 1


async def test_a_target_is_filled_to_the_cent(till: Till) -> None:
    await till.arm(wanted=wish(amount=None, target="50"))
    await till.spend("7.123456789")
    await till.work()
    assert await till.balance() == Money.parse("50.006543211")


async def test_a_grant_or_purchase_that_fills_the_gap_makes_a_charge_needless(till: Till) -> None:
    await till.arm()
    await till.spend("6")
    await till.give("10")
    await till.work()
    assert await till.charges() == 0
    assert await till.crossings() == (0, 1)
    await till.spend("10")
    await till.work()
    assert await till.charges() == 1


async def test_switched_off_nothing_is_charged(till: Till) -> None:
    await till.arm()
    await till.pouch.topups.switch.switch_off(till.alice)
    await till.spend("10")
    await till.work()
    assert await till.charges() == 0
    assert await till.crossings() == (0, 0)
    assert (await till.letters())[-1] == "top_up_changed"
    assert (await till.ask_for("50")).refused.top_up == "off"


async def test_switching_off_before_the_request_keeps_the_card_uncharged(till: Till) -> None:
    await till.arm()
    await till.spend("6")
    await till.pouch.topups.judge.look(till.alice)
    assert await till.states() == ["created"]
    await till.pouch.topups.switch.switch_off(till.alice)
    await till.work()
    assert await till.states() == ["not_tried"]
    assert await till.asked() == 0


async def test_the_letters_say_what_was_charged(till: Till) -> None:
    await till.arm()
    await till.spend("6")
    await till.work()
    async with till.shop.database.transaction() as db:
        rows = await db.execute("SELECT context FROM mail_letters WHERE kind = 'top_up'")
        ((context,),) = await rows.fetchall()
    assert (context["amount"], context["available"], context["card"]) == ("$20.00", "$29.00", "Visa ending 4242")


async def test_a_decline_that_may_pass_is_tried_again_after_an_hour_six_and_then_pauses(till: Till) -> None:
    await till.arm(number=FAILS_LATER)
    await till.spend("6")
    await till.work()
    assert await till.states() == ["declined"]
    assert await till.threshold() == "resting"
    for _ in range(3):
        await till.ask_for("50")
        await till.work()
    assert await till.asked() == 1
    await till.time_passes(3500)
    await till.work()
    assert await till.asked() == 1
    await till.time_passes(200)
    await till.work()
    assert await till.asked() == 2
    await till.time_passes(5 * 3600)
    await till.work()
    assert await till.asked() == 2
    await till.time_passes(2 * 3600)
    await till.work()
    rule = await till.rule()
    assert (rule.state, rule.pause) == ("paused", "declined")
    assert await till.states() == ["declined"] * 3
    await till.time_passes(30 * 24 * 3600)
    await till.ask_for("50")
    await till.work()
    assert await till.asked() == 3
    assert await till.letters("top_up_declined") == ["top_up_declined"] * 2
    assert await till.charges() == 0
    assert (await till.ask_for("50")).refused.top_up == "paused"


async def test_a_hard_decline_pauses_until_another_card(till: Till) -> None:
    """The same number again does not count; another one goes on by itself."""
    await till.arm()
    till.shop.cards.faults.declines = ["lost_card"]
    await till.spend("6")
    await till.work()
    rule = await till.rule()
    assert (rule.state, rule.pause) == ("paused", "card_refused")
    await till.add_card(VISA)
    await till.work()
    assert (await till.rule()).state == "paused"
    await till.add_card(MASTERCARD)
    await till.work()
    assert (await till.rule()).state == "armed"
    assert await till.balance() == Money.parse("29")
    assert [attempt.card_name for attempt in await till.tries()] == ["Visa ending 4242", "Mastercard ending 4444"]


@pytest.mark.parametrize("why", ["needs_confirmation", "card_refused"])
async def test_a_card_that_was_there_before_is_not_charged_instead_unasked(till: Till, why: str) -> None:
    """The bank asks about the default card, or refuses it; news about that card brings no charge of the other one.

    Such news come by themselves, for instance while its owner confirms the charge with the bank.
    """
    await till.add_card(MASTERCARD)
    card = await till.add_card(ALWAYS_ASKS if why == "needs_confirmation" else VISA)
    await till.pouch.sync.cards.make_default(till.alice, card.id)
    await till.give("15")
    await till.switch_on()
    if why == "card_refused":
        till.shop.cards.faults.declines = ["lost_card"]
    await till.spend("6")
    await till.work()
    assert (await till.rule()).pause == why
    await till.pouch.sync.cards.sync_method(card.stripe_id)
    await till.work()
    rule = await till.rule()
    assert (rule.state, rule.pause) == ("paused", why)
    assert (await till.charges(), await till.balance()) == (0, Money.parse("9"))
    async with till.shop.database.transaction() as db:
        default, other = await till.pouch.sync.cards.all(db, till.alice)
    assert default.id == card.id
    # Its owner makes the other one the default: that is a word.
    await till.pouch.sync.cards.make_default(till.alice, other.id)
    await till.work()
    assert (await till.rule()).state == "armed"
    assert await till.balance() == Money.parse("29")


async def test_removing_the_card_pauses_the_rule_and_another_one_goes_on(till: Till) -> None:
    await till.arm()
    async with till.shop.database.transaction() as db:
        (card,) = await till.pouch.sync.cards.all(db, till.alice)
    await till.pouch.sync.cards.remove(till.alice, card.id)
    rule = await till.rule()
    assert (rule.state, rule.pause) == ("paused", "no_card")
    await till.spend("10")
    await till.work()
    assert await till.crossings() == (0, 0)
    await till.add_card(MASTERCARD)
    await till.work()
    assert await till.charges() == 1


async def test_removing_the_default_of_two_cards_asks_for_another_default(till: Till) -> None:
    await till.arm()
    other = await till.add_card(MASTERCARD)
    async with till.shop.database.transaction() as db:
        default = await till.pouch.sync.cards.default(db, till.alice)
    assert default is not None
    await till.pouch.sync.cards.remove(till.alice, default.id)
    rule = await till.rule()
    assert (rule.state, rule.pause) == ("paused", "no_card")
    assert "Choose another default" in rule.reason
    await till.pouch.sync.cards.make_default(till.alice, other.id)
    assert (await till.rule()).state == "armed"


async def test_what_is_shown_while_a_pause_runs_is_what_saving_does(till: Till) -> None:
    """In a back-off nothing is charged, so no charge is promised; it is said when the next try is."""
    await till.arm(number=FAILS_LATER)
    await till.spend("6")
    await till.work()
    async with till.shop.database.transaction() as db:
        overview = await till.pouch.topups.switch.overview(db, till.alice)
    assert overview.charge_now(wish()) is None
    assert "tried again after" in overview.why_not(wish())
    assert overview.next_try is not None
    await till.switch_on(shown=None)
    await till.work()
    assert await till.asked() == 1


async def test_switching_on_again_after_three_declines_charges_at_once(till: Till) -> None:
    """As the letter about the third says."""
    await till.arm(number=FAILS_LATER)
    await till.spend("6")
    for _ in range(3):
        await till.work()
        await till.time_passes(6 * 3600 + 1)
    rule = await till.rule()
    assert (rule.state, rule.pause) == ("paused", "declined")
    async with till.shop.database.transaction() as db:
        overview = await till.pouch.topups.switch.overview(db, till.alice)
    assert overview.charge_now(wish()) == Money.parse("20")
    await till.switch_on(shown=Money.parse("20"))
    await till.work()
    assert await till.asked() == 4
    assert (await till.rule()).failures == 1


async def test_a_limit_that_is_reached_is_said(till: Till) -> None:
    await till.arm(wanted=wish(cap="20", amount="20"))
    await till.spend("6")
    await till.work()
    await till.spend("25")
    await till.time_passes(61)
    await till.work()
    async with till.shop.database.transaction() as db:
        overview = await till.pouch.topups.switch.overview(db, till.alice)
        other = wish(cap="20", amount="10")
        assert overview.charge_now(other) is None
        assert overview.why_not(other) == "What may be charged in a month is reached."
        assert overview.charge_now(wish(cap="100", amount="20")) == Money.parse("20")


async def test_a_customer_that_is_gone_takes_its_cards_along_and_another_card_goes_on(till: Till) -> None:
    await till.arm()
    await till.shop.change("UPDATE payment_customers SET stripe_id = 'cus_that_was_deleted'")
    await till.spend("6")
    await till.work()
    assert (await till.rule()).state == "paused"
    assert await till.charges() == 0
    await till.add_card(MASTERCARD)
    async with till.shop.database.transaction() as db:
        (card,) = await till.pouch.sync.cards.all(db, till.alice)
    assert card.last4 == MASTERCARD[-4:]
    await till.work()
    assert (await till.rule()).state == "armed"
    assert await till.charges() == 1


async def test_a_success_makes_the_rule_forget_declines(till: Till) -> None:
    await till.arm()
    till.shop.cards.faults.declines = ["insufficient_funds"]
    await till.spend("6")
    await till.work()
    assert (await till.rule()).failures == 1
    await till.time_passes(3700)
    await till.work()
    assert (await till.rule()).failures == 0
    assert await till.states() == ["declined", "credited"]
