"""Nobody owes something while credits lie beside it."""

import pytest

from pouch.base.database import Connection
from pouch.base.money import ZERO, Money
from pouch.ledger.accounts import balance, open_receivable
from pouch.ledger.check import check
from pouch.ledger.debts import collect_debts
from pouch.ledger.grants import grant
from pouch.ledger.operations import Release, TakeBack
from pouch.ledger.posting import post
from support.ledger import account_with, hold_of, nanos

pytestmark = pytest.mark.anyio


async def test_what_a_call_gives_back_pays_the_debt(db: Connection) -> None:
    """A dispute came while $4 of $5 were held; the call then cost nothing."""
    alice = await account_with(db, "5")
    await open_receivable(db, alice)
    hold = hold_of(alice, "4")
    await post(db, [hold])
    await post(db, [TakeBack("dp_1", alice, "stripe_clearing", nanos("3"), "dispute")])
    assert await collect_debts(db) == {}
    await post(db, [Release(hold)])
    assert (await collect_debts(db))[alice] == Money.parse("2")
    has = await balance(db, alice)
    assert (has.posted, has.held, has.debt) == (Money.parse("2"), ZERO, ZERO)
    assert await collect_debts(db) == {}
    assert await check(db) == []


async def test_credits_that_are_given_pay_a_debt_in_part(db: Connection) -> None:
    alice, carol = await account_with(db, "0"), await account_with(db, "7")
    await open_receivable(db, alice)
    await post(db, [TakeBack("dp_2", alice, "stripe_clearing", nanos("3"), "dispute")])
    await grant(db, alice, Money.parse("1"), key="sorry", note="")
    assert (await collect_debts(db))[alice] == Money.parse("1")
    assert (await balance(db, alice)).debt == Money.parse("2")
    assert (await balance(db, carol)).posted == Money.parse("7")
