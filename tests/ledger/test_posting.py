"""The rules of the ledger, on a real Postgres."""

import asyncio
from datetime import timedelta

import psycopg
import pytest
from psycopg import AsyncConnection

from pouch.base.database import Connection
from pouch.base.ids import derived_id, new_id
from pouch.base.money import ZERO, Money
from pouch.ledger.accounts import SYSTEM_ACCOUNT_IDS, balance, open_account, open_receivable
from pouch.ledger.blocks import block
from pouch.ledger.check import check
from pouch.ledger.errors import PostingMismatch, Refusal
from pouch.ledger.grants import grant
from pouch.ledger.history import balance_at, lines
from pouch.ledger.limits import limits_of, set_limit
from pouch.ledger.operations import (
    Admitted,
    Capture,
    Captured,
    Closed,
    Expire,
    Mismatch,
    Posted,
    Receivable,
    Refused,
    Release,
    Transfer,
)
from pouch.ledger.posting import post, post_batch
from support.ledger import account_with, hold_of, nanos

pytestmark = pytest.mark.anyio


async def test_a_grant_is_given_once_per_key(db: Connection) -> None:
    alice = await account_with(db, "0")
    assert await grant(db, alice, Money.parse("5"), key="course-2026", note="Course credits")
    assert not await grant(db, alice, Money.parse("5"), key="course-2026", note="Course credits")
    assert (await balance(db, alice)).available == Money.parse("5")


async def test_a_grants_key_with_another_amount_is_refused(db: Connection) -> None:
    alice = await account_with(db, "0")
    await grant(db, alice, Money.parse("5"), key="course-2026", note="")
    with pytest.raises(PostingMismatch):
        await grant(db, alice, Money.parse("6"), key="course-2026", note="")
    assert (await balance(db, alice)).posted == Money.parse("5")


async def test_a_hold_sets_aside_and_its_capture_charges_the_cost_only(db: Connection) -> None:
    alice = await account_with(db, "10")
    hold = hold_of(alice, "4")
    assert await post(db, [hold]) == [Admitted()]
    assert (await balance(db, alice)).available == Money.parse("6")
    assert await post(db, [Capture(hold, nanos("0.000000001"))]) == [Captured(1, 0)]
    has = await balance(db, alice)
    assert (has.posted, has.held) == (Money.parse("9.999999999"), ZERO)
    assert await check(db) == []


async def test_a_hold_cannot_take_what_another_hold_reserved(db: Connection) -> None:
    """Two calls that together cost more than the balance: the second is refused."""
    alice = await account_with(db, "5")
    first, second = hold_of(alice, "4"), hold_of(alice, "2")
    answers = await post_batch(db, [first, second])
    assert answers == [Admitted(), Refused("credits", nanos("2"), nanos("1"), nanos("5"), alice)]


async def test_a_repeated_hold_reserves_once(db: Connection) -> None:
    """A gateway that retries after a lost reply holds the money once."""
    alice = await account_with(db, "5")
    hold = hold_of(alice, "2")
    assert await post_batch(db, [hold, hold]) == [Admitted(), Admitted()]
    assert await post_batch(db, [hold]) == [Admitted()]
    assert (await balance(db, alice)).held == Money.parse("2")


async def test_a_known_hold_with_other_content_is_a_mismatch(db: Connection) -> None:
    alice = await account_with(db, "5")
    hold = hold_of(alice, "2")
    await post(db, [hold])
    other = type(hold)(hold.id, alice, nanos("3"))
    (answer,) = await post_batch(db, [other])
    assert isinstance(answer, Mismatch)
    with pytest.raises(PostingMismatch):
        await post(db, [other])


async def test_a_hold_is_its_owners_alone(db: Connection) -> None:
    """Somebody else neither places it again nor pays for it, whatever id they name."""
    alice, bob = await account_with(db, "5"), await account_with(db, "5")
    hold = hold_of(alice, "2")
    await post(db, [hold])
    his = type(hold)(hold.id, bob, nanos("2"))
    again, paid = await post_batch(db, [his, Capture(his, nanos("1"))])
    assert isinstance(again, Mismatch)
    assert isinstance(paid, Mismatch)
    assert (await balance(db, bob)).available == Money.parse("5")
    assert (await balance(db, alice)).held == Money.parse("2")


async def test_a_capture_is_repeatable_and_another_cost_is_a_mismatch(db: Connection) -> None:
    alice = await account_with(db, "5")
    hold = hold_of(alice, "2")
    await post(db, [hold, Capture(hold, nanos("1"))])
    assert await post(db, [Capture(hold, nanos("1"))]) == [Captured(nanos("1"), 0, repeated=True)]
    (other,) = await post_batch(db, [Capture(hold, nanos("1.5"))])
    assert isinstance(other, Mismatch)
    assert (await balance(db, alice)).posted == Money.parse("4")


async def test_a_cost_above_the_hold_takes_what_is_available_and_the_operator_bears_the_rest(db: Connection) -> None:
    """The provider over-produced: $4 for a hold of $2, with $1 available beside another hold."""
    alice = await account_with(db, "5")
    mine, other = hold_of(alice, "2"), hold_of(alice, "2")
    await post(db, [mine, other])
    assert await post(db, [Capture(mine, nanos("4"))]) == [Captured(nanos("3"), nanos("1"))]
    has = await balance(db, alice)
    assert (has.posted, has.held, has.available) == (Money.parse("2"), Money.parse("2"), ZERO)
    assert await borne(db) == nanos("1")
    assert await check(db) == []


async def test_an_expired_hold_captured_late_takes_at_most_what_is_available(db: Connection) -> None:
    alice = await account_with(db, "5")
    late, other = hold_of(alice, "3"), hold_of(alice, "4")
    await post(db, [late, Expire(late), other])
    assert await post(db, [Capture(late, nanos("3"))]) == [Captured(nanos("1"), nanos("2"))]
    assert (await balance(db, alice)).available == ZERO
    assert await check(db) == []


async def test_a_released_hold_comes_back_whole_and_cannot_be_captured(db: Connection) -> None:
    alice = await account_with(db, "5")
    hold = hold_of(alice, "3")
    assert await post(db, [hold, Release(hold)]) == [Admitted(), Closed()]
    assert await post(db, [Release(hold)]) == [Closed(repeated=True)]
    assert (await balance(db, alice)).available == Money.parse("5")
    (late,) = await post_batch(db, [Capture(hold, 1)])
    assert isinstance(late, Mismatch)


async def test_the_first_budget_that_does_not_allow_it_names_itself(db: Connection) -> None:
    """Order of refusal: blocked, debt, run, task, key, member, organization, credits."""
    alice, run, task, key, member = await account_with(db, "1"), new_id(), new_id(), new_id(), new_id()
    hold = hold_of(alice, "2", run, task, key, member, alice)

    async def source() -> str:
        (answer,) = await post_batch(db, [hold])
        assert isinstance(answer, Refused)
        return answer.source

    assert await source() == "credits"
    await set_limit(db, alice, kind="organization", period="month", cap=Money.parse("0.5"))
    assert await source() == "organization_limit"
    await set_limit(db, member, kind="member", period="day", cap=Money.parse("0.5"))
    assert await source() == "member_limit"
    await set_limit(db, key, kind="key", cap=Money.parse("0.5"))
    assert await source() == "key_limit"
    await set_limit(db, task, kind="task", cap=Money.parse("0.5"))
    assert await source() == "task_limit"
    await set_limit(db, run, kind="run", cap=Money.parse("0.5"))
    assert await source() == "run_limit"
    await open_receivable(db, alice)
    await post(db, [Transfer("debt", Receivable(alice), "stripe_clearing", nanos("1"), "dispute")])
    assert await source() == "debt"
    await block(db, key)
    assert await source() == "blocked"


async def test_the_next_purchase_pays_a_debt_first_and_says_so(db: Connection) -> None:
    alice = await account_with(db, "0")
    await open_receivable(db, alice)
    await post(db, [Transfer("dp_1", Receivable(alice), "stripe_clearing", nanos("3"), "dispute")])
    await post(db, [Transfer("pi:1", "stripe_clearing", alice, nanos("10"), "purchase")])
    has = await balance(db, alice)
    assert (has.posted, has.debt) == (Money.parse("7"), ZERO)
    newest, before = await lines(db, alice)
    assert (newest.kind, newest.amount, newest.balance_after) == ("debt", -Money.parse("3"), Money.parse("7"))
    assert (before.kind, before.balance_after) == ("purchase", Money.parse("10"))
    assert await check(db) == []


async def test_a_debt_is_paid_out_of_what_no_call_has_reserved(db: Connection) -> None:
    """All five dollars are held, eight are owed, two are bought: two are paid, six are still owed."""
    alice = await account_with(db, "5")
    await open_receivable(db, alice)
    await post(db, [hold_of(alice, "5")])
    await post(db, [Transfer("dp_1", Receivable(alice), "stripe_clearing", nanos("8"), "dispute")])
    await post(db, [Transfer("pi:1", "stripe_clearing", alice, nanos("2"), "purchase")])
    has = await balance(db, alice)
    assert (has.posted, has.held, has.debt) == (Money.parse("5"), Money.parse("5"), Money.parse("6"))


async def test_a_limit_counts_what_is_held_and_spent_and_gives_back_the_rest(db: Connection) -> None:
    alice, key = await account_with(db, "10"), new_id()
    await set_limit(db, key, kind="key", cap=Money.parse("1"))
    hold = hold_of(alice, "0.8", key)
    await post(db, [hold])
    (refused,) = await post_batch(db, [hold_of(alice, "0.3", key)])
    assert refused == Refused("key_limit", nanos("0.3"), nanos("0.2"), nanos("1"), key)
    await post(db, [Capture(hold, nanos("0.5"))])
    (limit,) = (await limits_of(db, [key]))[key]
    assert (limit.spent, limit.held, limit.left) == (Money.parse("0.5"), ZERO, Money.parse("0.5"))
    assert await check(db) == []


async def test_a_hold_counts_in_the_period_in_which_it_was_admitted(db: Connection) -> None:
    """Held yesterday, captured today: today's limit is untouched."""
    alice, key = await account_with(db, "10"), new_id()
    await set_limit(db, key, kind="key", period="day", cap=Money.parse("1"))
    hold = hold_of(alice, "1", key)
    await post(db, [hold])
    yesterday = timedelta(days=1)
    await db.execute("UPDATE ledger_holds SET placed_at = placed_at - %s WHERE id = %s", (yesterday, hold.id))
    await db.execute("UPDATE ledger_limits SET period_start = period_start - %s WHERE subject = %s", (yesterday, key))
    today = hold_of(alice, "1", key)
    assert await post_batch(db, [today]) == [Admitted()]
    await post(db, [Capture(hold, nanos("1"))])
    (limit,) = (await limits_of(db, [key]))[key]
    assert (limit.spent, limit.held) == (ZERO, Money.parse("1"))
    assert await check(db) == []


async def test_nobody_overtakes_a_hold_that_may_wait(db: Connection) -> None:
    """A big hold waits for room; a small one behind it would fit, and waits behind it."""
    alice = await account_with(db, "5")
    await post(db, [hold_of(alice, "3")])
    big, small = await post_batch(db, [hold_of(alice, "4"), hold_of(alice, "1")])
    assert isinstance(big, Refused)
    assert isinstance(small, Refused)
    assert big.may_wait
    assert small.may_wait


async def test_nobody_overtakes_a_hold_that_waits_for_a_limit(db: Connection) -> None:
    alice, key = await account_with(db, "100"), new_id()
    await set_limit(db, key, kind="key", cap=Money.parse("5"))
    await post(db, [hold_of(alice, "3", key)])
    big, small, other = await post_batch(
        db, [hold_of(alice, "4", key), hold_of(alice, "1", key), hold_of(alice, "1", new_id())]
    )
    assert isinstance(big, Refused)
    assert isinstance(small, Refused)
    assert (big.source, small.source) == ("key_limit", "key_limit")
    assert big.may_wait
    assert small.may_wait
    # Whoever does not spend for that key is not in its line.
    assert other == Admitted()


async def test_a_limit_that_comes_while_a_hold_is_open_does_not_count_it(db: Connection) -> None:
    """It never held for it, so there is nothing of it to give back."""
    alice, key = await account_with(db, "10"), new_id()
    await set_limit(db, alice, kind="organization", cap=Money.parse("10"))
    charged, given_back = hold_of(alice, "3", alice, key), hold_of(alice, "2", alice, key)
    await post(db, [charged, given_back])
    await set_limit(db, key, kind="key", cap=Money.parse("5"))
    # In one batch, so that the limit is at hand where the two are settled.
    await post(db, [hold_of(alice, "1", alice, key), Capture(charged, nanos("3")), Release(given_back)])
    (limit,) = (await limits_of(db, [key]))[key]
    assert (limit.spent, limit.held) == (ZERO, Money.parse("1"))
    (limit,) = (await limits_of(db, [alice]))[alice]
    assert (limit.spent, limit.held) == (Money.parse("3"), Money.parse("1"))
    assert await check(db) == []


async def test_a_purchase_is_posted_once_however_often_it_is_heard_of(db: Connection) -> None:
    alice = await account_with(db, "0")
    note = "Visa ending 4242"
    purchase = Transfer("pi:pi_1:credit", "stripe_clearing", alice, nanos("10"), "purchase", new_id(), note)
    assert await post(db, [purchase]) == [Posted()]
    assert await post_batch(db, [purchase, purchase]) == [Posted(repeated=True)] * 2
    assert (await balance(db, alice)).posted == Money.parse("10")
    (line,) = await lines(db, alice)
    assert (line.id, line.amount, line.note) == (derived_id("pi:pi_1:credit"), Money.parse("10"), "Visa ending 4242")


async def test_a_transfer_from_a_customer_leaves_what_is_held_alone(db: Connection) -> None:
    alice = await account_with(db, "5")
    await post(db, [hold_of(alice, "3")])
    with pytest.raises(Refusal):
        await post(db, [Transfer("adjust", alice, "writeoff", nanos("3"), "adjustment")])
    assert await post(db, [Transfer("adjust", alice, "writeoff", nanos("2"), "adjustment")]) == [Posted()]


async def test_the_balance_at_a_past_time_is_what_it_was(db: Connection) -> None:
    alice = await account_with(db, "0")
    for n in range(1, 4):
        await grant(db, alice, Money.parse(f"{n}"), key=f"g{n}", note="")
    newest, middle, first = await lines(db, alice)
    assert await balance_at(db, alice, first.at - timedelta(microseconds=1)) == ZERO
    assert await balance_at(db, alice, first.at) == Money.parse("1")
    assert await balance_at(db, alice, middle.at) == Money.parse("3")
    assert await balance_at(db, alice, newest.at) == Money.parse("6")
    assert [line.seq for line in await lines(db, alice, before=newest.seq)] == [middle.seq, first.seq]


async def test_the_database_itself_refuses_an_overspent_account(db: Connection) -> None:
    alice = await account_with(db, "1")
    with pytest.raises(psycopg.errors.CheckViolation):
        await db.execute("UPDATE ledger_accounts SET held_nanos = 2000000000 WHERE organization_id = %s", (alice,))


async def test_a_transfer_is_never_changed(db: Connection) -> None:
    await account_with(db, "1")
    with pytest.raises(psycopg.errors.RaiseException):
        await db.execute("UPDATE ledger_transfers SET amount_nanos = 1")


async def test_opening_an_account_twice_opens_one(db: Connection) -> None:
    alice = await account_with(db, "1")
    await open_account(db, alice)
    assert (await balance(db, alice)).posted == Money.parse("1")


async def test_the_check_names_each_difference(db: Connection) -> None:
    """Someone edits the books by hand: a balance, a hold, a limit."""
    alice, key = await account_with(db, "5"), new_id()
    await set_limit(db, key, kind="key", cap=Money.parse("1"))
    hold = hold_of(alice, "0.5", key)
    await post(db, [hold])
    assert await check(db) == []
    await db.execute(
        "UPDATE ledger_accounts SET balance_nanos = balance_nanos + 1 WHERE organization_id = %s", (alice,)
    )
    await db.execute("UPDATE ledger_holds SET amount_nanos = amount_nanos + 1 WHERE id = %s", (hold.id,))
    found = " ".join(await check(db))
    assert "its transfers add up to $5.000000000" in found
    assert "its open holds add up to $0.500000001" in found
    assert f"limit of {key}" in found
    assert "not to zero" in found


BY_INDEX = "-c enable_seqscan=off -c enable_bitmapscan=off"
"""In a table as small as a test's, reading all of it would give the order of the ids by chance."""


async def test_accounts_are_locked_in_the_order_of_their_ids(database_url: str) -> None:
    """Two posters of the same two accounts never wait for each other in a circle.

    The account with the lower id has the higher organization id, so that an index would come by it last. While
    somebody holds the first account, a poster of both waits there and has not locked the second yet.
    """
    first, second = sorted((new_id(), new_id()), reverse=True)
    async with (
        await AsyncConnection.connect(database_url) as holder,
        await AsyncConnection.connect(database_url, options=BY_INDEX) as poster,
        await AsyncConnection.connect(database_url, autocommit=True) as watcher,
    ):
        for organization in (first, second):
            await open_account(watcher, organization)
        lock = "SELECT id FROM ledger_accounts WHERE organization_id = %s FOR NO KEY UPDATE"
        await holder.execute(lock, (first,))
        grants = [Transfer(f"g {each}", "promo", each, 1, "grant") for each in (second, first)]
        posting = asyncio.create_task(post(poster, grants))
        await waiting_for_a_lock(watcher, poster)
        await watcher.execute(f"{lock} NOWAIT", (second,))
        await holder.rollback()
        assert await posting == [Posted(), Posted()]
        await poster.rollback()


async def test_a_limit_that_two_accounts_share_is_held_once(database_url: str) -> None:
    """A member of two organizations calls from both at once; the limit has room for one of the two calls."""
    member = new_id()
    async with (
        await AsyncConnection.connect(database_url) as one,
        await AsyncConnection.connect(database_url) as two,
        await AsyncConnection.connect(database_url, autocommit=True) as watcher,
    ):
        first, second = await account_with(watcher, "5"), await account_with(watcher, "5")
        await set_limit(watcher, member, kind="member", cap=Money.parse("1"))
        assert await post_batch(one, [hold_of(first, "0.6", member)]) == [Admitted()]
        posting = asyncio.create_task(post_batch(two, [hold_of(second, "0.6", member)]))
        await waiting_for_a_lock(watcher, two)
        await one.commit()
        assert await posting == [Refused("member_limit", nanos("0.6"), nanos("0.4"), nanos("1"), member)]
        await two.rollback()
        assert await check(watcher) == []


async def waiting_for_a_lock(watcher: Connection, poster: Connection) -> None:
    waits = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while not await (await watcher.execute(waits, (poster.info.backend_pid,))).fetchone():
            pass


async def test_the_time_of_a_transfer_is_that_of_its_turn(database_url: str) -> None:
    """A transaction that began early and posts late does not write into the past of the account."""
    async with (
        await AsyncConnection.connect(database_url) as early,
        await AsyncConnection.connect(database_url) as late,
    ):
        alice = await account_with(late, "1")
        await late.commit()
        await early.execute("SELECT 1")
        await grant(late, alice, Money.parse("1"), key="late", note="")
        await late.commit()
        await grant(early, alice, Money.parse("1"), key="early", note="")
        await early.commit()
        assert await check(late) == []


async def borne(db: Connection) -> int:
    """What the operator bore so far in this transaction, in nano-dollars."""
    rows = await db.execute(
        "SELECT amount_nanos FROM ledger_transfers WHERE debit_account_id = %s", (SYSTEM_ACCOUNT_IDS["overrun"],)
    )
    return sum(amount for (amount,) in await rows.fetchall())
