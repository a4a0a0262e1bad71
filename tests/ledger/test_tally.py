from datetime import UTC, datetime, timedelta

import pytest

from pouch.base.database import Connection
from pouch.base.ids import new_id
from pouch.base.money import ZERO, Money
from pouch.ledger.grants import grant
from pouch.ledger.operations import Capture
from pouch.ledger.posting import post
from pouch.ledger.tally import ANEW_S, Tallies
from support.ledger import account_with, hold_of

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC)


async def test_each_look_adds_what_is_new_and_agrees_with_the_balance(db: Connection) -> None:
    alice, tallies = await account_with(db, "10"), Tallies()
    first = await tallies.of(db, alice, now=NOW)
    assert (first.lines, first.total, first.spent) == (1, Money.parse("10"), ZERO)
    hold = hold_of(alice, "0.50")
    await post(db, [hold])
    await post(db, [Capture(hold, 111_174_901)])
    second = await tallies.of(db, alice, now=NOW)
    assert (second.lines, second.total) == (2, Money.parse("9.888825099"))
    assert second.spent == second.spent_in_month == Money(111_174_901)
    assert second.agrees
    assert await tallies.of(db, alice, now=NOW) == second
    assert await Tallies().of(db, alice, now=NOW) == second


async def test_a_new_month_begins_with_nothing_spent(db: Connection) -> None:
    alice, tallies = await account_with(db, "10"), Tallies()
    hold = hold_of(alice, "0.50")
    await post(db, [hold])
    await post(db, [Capture(hold, 5)])
    assert (await tallies.of(db, alice, now=NOW)).spent_in_month == Money(5)
    later = await tallies.of(db, alice, now=(NOW.replace(day=1) + timedelta(days=40)).replace(day=3))
    assert (later.spent_in_month, later.spent) == (ZERO, Money(5))


async def test_books_that_do_not_agree_are_noticed_within_the_hour(db: Connection) -> None:
    """Somebody writes a balance by hand."""
    seconds = 0.0
    alice, tallies = await account_with(db, "10"), Tallies(clock=lambda: seconds)
    assert (await tallies.of(db, alice, now=NOW)).agrees
    await db.execute(
        "UPDATE ledger_accounts SET balance_nanos = balance_nanos + 1 WHERE organization_id = %s", (alice,)
    )
    assert not (await tallies.of(db, alice, now=NOW)).agrees
    await db.execute("ALTER TABLE ledger_transfers DISABLE TRIGGER ledger_transfers_append_only")
    await db.execute(
        "UPDATE ledger_accounts SET balance_nanos = balance_nanos - 1 WHERE organization_id = %s", (alice,)
    )
    await db.execute("UPDATE ledger_transfers SET amount_nanos = amount_nanos + 1 WHERE note = %s", ("A test's start",))
    assert (await tallies.of(db, alice, now=NOW)).agrees
    seconds = ANEW_S + 1
    assert not (await tallies.of(db, alice, now=NOW)).agrees


async def test_an_organization_without_an_account_has_no_lines(db: Connection) -> None:
    tally = await Tallies().of(db, new_id(), now=NOW)
    assert (tally.lines, tally.total, tally.agrees) == (0, ZERO, True)


async def test_carols_lines_are_not_alices(db: Connection) -> None:
    alice, carol, tallies = await account_with(db, "10"), await account_with(db, "3"), Tallies()
    await grant(db, carol, Money(7), key=str(carol) + "7", note="")
    assert (await tallies.of(db, alice, now=NOW)).lines == 1
    assert (await tallies.of(db, carol, now=NOW)).total == Money.parse("3.000000007")
