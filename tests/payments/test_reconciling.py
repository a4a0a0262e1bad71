"""Reconciliation: what the processor knows and we do not is repaired; what cannot be repaired is said."""

import asyncio
from datetime import timedelta

import pytest

from payments.far_end import FarEnd
from payments.shop import Pouch, Shop
from pouch.base.clock import system_clock
from pouch.base.ids import new_id
from pouch.base.money import ZERO, Money
from pouch.embedded.cards.disputes import Verdict
from pouch.identity.people import add_person
from pouch.ledger.accounts import SYSTEM_ACCOUNT_IDS
from pouch.payments import checks, suspensions
from pouch.payments.checks import Check, Difference
from pouch.payments.errors import NoProcessor
from pouch.payments.objects import DisputeObject, MovementObject
from pouch.payments.reconciling import Reconciling

pytestmark = pytest.mark.anyio


@pytest.fixture
def reconciling(shop: Shop) -> Reconciling:
    return reconciling_of(shop)


def reconciling_of(shop: Shop) -> Reconciling:
    return Reconciling(shop.database, shop.pouch.processor, shop.pouch.sync, shop.pouch.inbox)


async def differences(shop: Shop) -> list[Difference]:
    async with shop.database.transaction() as db:
        return [each for each in await checks.list_differences(db) if not (each.repaired_at or each.gone_at)]


def figures(check: Check) -> tuple[int, int, str]:
    return check.repaired, check.differences, check.error


async def test_a_lost_webhook_is_repaired_within_the_next_run(shop: Shop, reconciling: Reconciling) -> None:
    """Paid, the event was dropped, and the buyer never came back."""
    purchase = await shop.start("10.00")
    await shop.pay(purchase)
    await shop.change("DELETE FROM cards_deliveries")
    await shop.change("UPDATE payment_purchases SET due_at = NULL")
    check = await reconciling.check("clock")
    assert check.repaired >= 1
    assert check.differences == 0
    await shop.assert_credited_once()
    assert figures(await reconciling.check("clock")) == (0, 0, "")


async def test_an_event_that_was_not_delivered_is_taken_from_the_list(shop: Shop, reconciling: Reconciling) -> None:
    """The webhook's address was wrong for a while."""
    await shop.pay(await shop.start("10.00"))
    assert await shop.count("payment_events") == 0
    check = await reconciling.check("clock")
    assert check.differences == 0
    assert await shop.count("payment_events", "state = 'done'") > 0
    await shop.assert_credited_once()


async def test_refunds_and_disputes_that_nobody_told_us_of_are_found(shop: Shop, reconciling: Reconciling) -> None:
    purchase = await shop.buy("10.00")
    other = await shop.buy("20.00", "second")
    await shop.refund_there(purchase, "4.00")
    await shop.object_to(other)
    await shop.change("DELETE FROM cards_deliveries")
    await shop.change("UPDATE cards_events SET created_at = now() - interval '10 days'")
    check = await reconciling.check("desk")
    assert figures(check) == (2, 0, "")
    assert (await shop.now(purchase)).state == "part_refunded"
    assert (await shop.now(other)).state == "disputed"
    assert (await shop.has()).posted == Money.parse("6")
    assert await differences(shop) == []
    assert figures(await reconciling.check("desk")) == (0, 0, "")
    await shop.assert_clean()


async def grow_old(shop: Shop, days: int) -> None:
    """All that happened so far is so long ago, and is in our books."""
    tables = {
        "cards_disputes": "created_at",
        "cards_refunds": "created_at",
        "cards_events": "created_at",
        "cards_intents": "created_at",
        "cards_movements": "created_at",
        "payment_purchases": "credited_at",
        "payment_disputes": "opened_at",
        "payment_movements": "moved_at",
    }
    for table, column in tables.items():
        await shop.change(f"UPDATE {table} SET {column} = {column} - make_interval(days => %s)", days)


async def lose_events(shop: Shop) -> None:
    """The endpoint does not take this type, so the processor never tries, and lists nothing as undelivered."""
    await shop.change("DELETE FROM cards_deliveries")
    await shop.change("UPDATE cards_events SET created_at = now() - interval '40 days'")


@pytest.mark.parametrize(("verdict", "state", "has"), [("won", "credited", "10"), ("lost", "dispute_lost", "0")])
async def test_the_outcome_of_a_dispute_that_nobody_told_us_of_is_found(
    shop: Shop, reconciling: Reconciling, verdict: Verdict, state: str, has: str
) -> None:
    """The bank takes its time, and its event never comes."""
    purchase = await shop.buy("10.00")
    dispute = await shop.object_to(purchase)
    await shop.deliver()
    await reconciling.check("clock")
    await grow_old(shop, 80)
    await shop.decide(dispute, verdict)
    await lose_events(shop)
    assert figures(await reconciling.check("clock"))[0] >= 1
    assert (await shop.now(purchase)).state == state
    assert (await shop.has()).posted == Money.parse(has)
    async with shop.database.transaction() as db:
        assert await suspensions.why_suspended(db, shop.alice) is None
    assert figures(await reconciling.check("clock")) == (0, 0, "")
    await shop.assert_clean()


async def test_a_refund_that_fails_weeks_later_is_found_by_its_balance_transaction(
    shop: Shop, reconciling: Reconciling
) -> None:
    purchase = await shop.buy("10.00")
    await shop.refund(purchase, "4.00")
    await reconciling.check("clock")
    await grow_old(shop, 25)
    (refund,) = await shop.refunds(purchase)
    assert refund.stripe_id is not None
    await shop.fail_refund(refund.stripe_id)
    await lose_events(shop)
    assert figures(await reconciling.check("clock")) == (1, 0, "")
    assert [row.state for row in await shop.refunds(purchase)] == ["failed"]
    assert (await shop.has()).posted == Money.parse("10")
    assert await shop.moved("refund_clearing") == ZERO
    assert figures(await reconciling.check("clock")) == (0, 0, "")
    await shop.assert_clean()


async def test_an_old_purchase_is_tied_again_when_something_moves(shop: Shop, reconciling: Reconciling) -> None:
    purchase = await shop.buy("10.00")
    await reconciling.check("clock")
    await grow_old(shop, 60)
    assert figures(await reconciling.check("clock")) == (0, 0, "")
    await shop.object_to(purchase, usd="6.00")
    await shop.deliver()
    await shop.change("UPDATE cards_movements SET amount_cents = -7_00 WHERE category = 'dispute'")
    await reconciling.check("clock")
    assert [found.kind for found in await differences(shop)] == ["clearing"]


async def test_after_an_outage_all_since_the_last_whole_check_is_compared(shop: Shop, reconciling: Reconciling) -> None:
    """Pouch was off for ten days, and a refund was made at the processor's own site in the first of them."""
    purchase = await shop.buy("10.00")
    await reconciling.check("clock")
    await shop.change("UPDATE payment_checks SET started_at = started_at - interval '10 days'")
    await grow_old(shop, 10)
    await shop.refund_there(purchase, "4.00")
    await shop.change("UPDATE cards_refunds SET created_at = now() - interval '9 days'")
    await shop.change("UPDATE cards_movements SET created_at = now() - interval '9 days'")
    await lose_events(shop)
    assert figures(await reconciling.check("clock")) == (1, 0, "")
    assert (await shop.has()).posted == Money.parse("6")
    assert await shop.moved("refund_clearing") == ZERO
    await shop.assert_clean()


async def test_a_check_looks_back_a_month_at_most(shop: Shop, reconciling: Reconciling) -> None:
    await reconciling.check("clock")
    await shop.pay(await shop.start("10.00"))
    await shop.change("UPDATE payment_checks SET started_at = started_at - interval '90 days'")
    await shop.change("UPDATE cards_intents SET created_at = created_at - interval '31 days'")
    await shop.change("UPDATE cards_events SET created_at = created_at - interval '31 days'")
    assert figures(await reconciling.check("clock")) == (0, 0, "")
    assert await shop.credits() == 0


async def test_a_credit_that_nobody_paid_is_a_difference_until_it_is_mended(
    shop: Shop, reconciling: Reconciling
) -> None:
    purchase = await shop.buy("10.00")
    olga = f"olga-{new_id().hex}@pouch.example"
    async with shop.database.transaction() as db:
        await db.execute("UPDATE identity_people SET is_operator = false")
        await add_person(db, olga, None, verified=True, operator=True)
    await shop.change("UPDATE payment_purchases SET payment_id = 'pi_gone' WHERE id = %s", purchase.id)
    for _ in range(2):
        check = await reconciling.check("clock")
        assert check.differences == 2
    kinds = {(each.kind, each.object_id) for each in await differences(shop)}
    assert kinds == {("payment", "pi_gone"), ("payment", purchase.payment_id)}
    assert await shop.count("mail_letters", f"kind = 'operator_alert' AND to_address = '{olga}'") == 2
    await shop.change("UPDATE payment_purchases SET payment_id = %s WHERE id = %s", purchase.payment_id, purchase.id)
    assert figures(await reconciling.check("clock"))[1] == 0
    assert await differences(shop) == []


async def test_the_clearing_account_ties_to_the_balance_transactions(shop: Shop, reconciling: Reconciling) -> None:
    """Bought, partly refunded, disputed, won: to the cent, with every fee."""
    purchase = await shop.buy("10.00")
    await shop.refund(purchase, "4.00")
    other = await shop.buy("20.00", "second")
    dispute = await shop.object_to(other)
    await shop.deliver()
    await shop.decide(dispute, "won")
    await shop.deliver()
    await shop.change("UPDATE payment_purchases SET credited_at = credited_at - interval '2 hours'")
    assert figures(await reconciling.check("clock")) == (0, 0, "")
    there = await shop.count("cards_movements")
    assert await shop.count("payment_movements") == there == 5
    async with shop.database.transaction() as db:
        rows = await db.execute("SELECT sum(amount_cents), sum(fee_cents) FROM cards_movements")
        ((came, fees),) = await rows.fetchall()
    assert await shop.moved("stripe_clearing") == ZERO - Money.from_cents(int(came) - int(fees))
    assert await shop.moved("stripe_fees") == ZERO - Money.from_cents(int(fees))
    assert await shop.moved("refund_clearing") == ZERO
    await shop.assert_clean()


async def test_a_clearing_that_does_not_tie_is_said(shop: Shop, reconciling: Reconciling) -> None:
    await shop.buy("10.00")
    await shop.change("UPDATE payment_purchases SET credited_at = credited_at - interval '2 hours'")
    await shop.change("UPDATE cards_movements SET amount_cents = amount_cents - 1")
    await reconciling.check("clock")
    (found,) = await differences(shop)
    assert found.kind == "clearing"
    assert "9.99" in found.what or "balance transactions" in found.what
    assert SYSTEM_ACCOUNT_IDS["stripe_clearing"] == 4


async def test_what_is_not_settled_in_dollars_is_neither_posted_nor_compared(shop: Shop) -> None:
    """A European account settles in euros: it is said, once, and no euro is taken for a dollar."""
    purchase = await shop.buy("10.00")
    await shop.refund(purchase, "4.00")
    await shop.change("UPDATE payment_purchases SET credited_at = credited_at - interval '2 hours'")
    await shop.change("UPDATE cards_movements SET amount_cents = amount_cents * 9 / 10")
    async with FarEnd.before(shop.cards.api_base) as far_end:
        far_end.changes = ("GET /embedded/cards/v1/balance_transactions", b'"usd"', b'"eur"')
        euros = Pouch(shop.database, api_base=far_end.url)
        for _ in range(2):
            await Reconciling(shop.database, euros.processor, euros.sync, euros.inbox).check("clock")
        await euros.processor.close()
    (found,) = await differences(shop)
    assert (found.kind, found.object_id) == ("clearing", "currency:eur")
    assert await shop.count("payment_movements", "currency = 'eur'") == 2
    assert await shop.moved("stripe_fees") == ZERO
    assert await shop.moved("refund_clearing") == Money.parse("4")
    await shop.assert_clean()


@pytest.mark.parametrize(
    ("status", "moved", "withdrawn", "reinstated"),
    [
        ("needs_response", [-92_00], "100", "0"),
        ("under_review", [-92_00, 95_00], "100", "100"),
        ("won", [-92_00], "100", "100"),
        ("lost", [-92_00], "100", "0"),
        ("warning_needs_response", [], "0", "0"),
    ],
)
def test_a_dispute_that_is_settled_in_euros_takes_its_dollars(
    status: str, moved: list[int], withdrawn: str, reinstated: str
) -> None:
    movements = [MovementObject(f"txn_{cents}", cents, currency="eur") for cents in moved]
    found = DisputeObject("dp_1", 100_00, "usd", status, balance_transactions=movements)
    assert (found.withdrawn, found.reinstated) == (Money.parse(withdrawn), Money.parse(reinstated))


async def test_a_fee_that_is_given_back_is_posted_back(shop: Shop, reconciling: Reconciling) -> None:
    purchase = await shop.buy("10.00")
    dispute = await shop.object_to(purchase)
    await shop.decide(dispute, "won")
    await shop.deliver()
    await shop.change("UPDATE cards_movements SET fee_cents = -15_00 WHERE category = 'dispute_reversal'")
    await shop.change("UPDATE payment_purchases SET credited_at = credited_at - interval '2 hours'")
    await shop.change("UPDATE payment_disputes SET closed_at = closed_at - interval '2 hours'")
    assert figures(await reconciling.check("clock"))[1:] == (0, "")
    async with shop.database.transaction() as db:
        rows = await db.execute("SELECT sum(fee_cents) FROM cards_movements")
        ((fees,),) = await rows.fetchall()
    assert await shop.moved("stripe_fees") == ZERO - Money.from_cents(int(fees))
    await shop.assert_clean()


async def test_a_check_without_an_answer_says_so_and_closes_nothing(shop: Shop) -> None:
    purchase = await shop.buy("10.00")
    await shop.change("UPDATE payment_purchases SET payment_id = 'pi_gone' WHERE id = %s", purchase.id)
    await reconciling_of(shop).check("clock")
    await shop.change("ALTER TABLE cards_refunds RENAME TO cards_refunds_away")
    try:
        check = await reconciling_of(shop).check("clock")
    finally:
        await shop.change("ALTER TABLE cards_refunds_away RENAME TO cards_refunds")
    assert check.error
    assert len(await differences(shop)) == 2
    async with shop.database.transaction() as db:
        last = await checks.last_check(db)
    assert last is not None
    assert last.id != check.id


async def test_checks_that_cannot_be_finished_for_hours_are_mailed_once_a_day(shop: Shop) -> None:
    async with shop.database.transaction() as db:
        await db.execute("UPDATE identity_people SET is_operator = false")
        await add_person(db, f"olga-{new_id().hex}@pouch.example", None, verified=True, operator=True)
    rolled = Pouch(shop.database, api_base=shop.cards.api_base, secret_key="sk_test_rolled")
    cannot = Reconciling(shop.database, rolled.processor, rolled.sync, rolled.inbox)
    await reconciling_of(shop).check("clock")
    await cannot.check("clock")
    assert await shop.count("mail_letters", "kind = 'operator_alert'") == 0, "one that fails is no outage"
    await shop.change("UPDATE payment_checks SET started_at = started_at - interval '3 hours'")
    for _ in range(2):
        assert (await cannot.check("clock")).error
    assert await shop.count("mail_letters", "kind = 'operator_alert'") == 1
    await reconciling_of(shop).check("clock")
    async with shop.database.transaction() as db:
        assert not await checks.is_overdue(db, system_clock())
    await rolled.processor.close()


async def test_a_processor_that_comes_late_is_asked_again(shop: Shop) -> None:
    """As where everything starts together, and the worker is there first."""
    await shop.buy("10.00")
    await shop.change("ALTER TABLE cards_refunds RENAME TO cards_refunds_away")
    checking = asyncio.create_task(reconciling_of(shop).check("clock", patience_s=[0.1] * 200))
    _, pending = await asyncio.wait({checking}, timeout=3)
    await shop.change("ALTER TABLE cards_refunds_away RENAME TO cards_refunds")
    assert pending
    assert figures(await checking)[1:] == (0, "")


async def test_what_others_sell_on_the_same_account_is_left_alone(shop: Shop, reconciling: Reconciling) -> None:
    await shop.change(
        """
        INSERT INTO cards_intents (id, created_at, client_secret, amount_cents, status, metadata)
        VALUES ('pi_theirs', now(), 's', 500, 'succeeded', '{"order": "7"}')
        """
    )
    assert figures(await reconciling.check("clock")) == (0, 0, "")


async def test_without_a_processor_there_is_nothing_to_compare(shop: Shop) -> None:
    with pytest.raises(NoProcessor):
        await Reconciling(shop.database, None, shop.pouch.sync, shop.pouch.inbox).check("desk")


async def test_what_is_older_than_four_days_is_not_asked_for(shop: Shop) -> None:
    await shop.pay(await shop.start("10.00"))
    later = Reconciling(
        shop.database,
        shop.pouch.processor,
        shop.pouch.sync,
        shop.pouch.inbox,
        clock=lambda: system_clock() + timedelta(days=5),
    )
    check = await later.check("clock")
    assert figures(check) == (0, 0, "")
    assert await shop.credits() == 0
