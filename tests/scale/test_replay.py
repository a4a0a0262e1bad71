"""The checker itself: it must see what no constraint of the database can."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from pouch.base.database import Connection
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.ledger.limits import set_limit
from pouch.ledger.operations import Capture, Release
from pouch.ledger.posting import post
from scale.replay import replay
from support.ledger import account_with, hold_of, nanos

pytestmark = pytest.mark.anyio

_ADD_HOLD = """
INSERT INTO ledger_holds (id, account_id, amount_nanos, state, placed_at, closed_at)
SELECT %s, id, %s, 'released', %s, %s FROM ledger_accounts WHERE organization_id = %s
"""


async def test_an_honest_life_is_replayed(db: Connection) -> None:
    alice = await account_with(db, "3")
    key = new_id()
    await set_limit(db, key, kind="key", period="ever", cap=Money.parse("2"))
    first, second = hold_of(alice, "1", key), hold_of(alice, "1", key)
    await post(db, [first])
    await post(db, [second])
    await post(db, [Capture(first, nanos("0.5")), Release(second)])
    replayed = await replay(db, alice)
    assert replayed.wrong == []
    assert (replayed.commits, replayed.held_most) == (4, Money.parse("2"))


async def test_it_sees_a_moment_at_which_more_was_held_than_there_was(db: Connection) -> None:
    """All is well again at the end, so that the account's row tells nothing."""
    alice = await account_with(db, "1")
    begin = datetime.now(UTC) + timedelta(seconds=1)
    await add_hold(db, alice, "0.6", begin, begin + timedelta(seconds=2))
    assert (await replay(db, alice)).wrong == []
    await add_hold(db, alice, "0.6", begin + timedelta(seconds=1), begin + timedelta(seconds=3))
    (wrong,) = (await replay(db, alice)).wrong
    assert "$1.000000000 were there and $1.200000000 of it held" in wrong


async def test_it_sees_a_limit_that_was_overstepped(db: Connection) -> None:
    alice = await account_with(db, "3")
    key = new_id()
    await set_limit(db, key, kind="key", period="ever", cap=Money.parse("2"))
    hold = hold_of(alice, "2", key)
    await post(db, [hold])
    await post(db, [Release(hold)])
    await db.execute("UPDATE ledger_limits SET cap_nanos = %s WHERE subject = %s", (nanos("1.5"), key))
    (wrong,) = (await replay(db, alice)).wrong
    assert f"the limit of {key} is $1.500000000, and $2.000000000 were spent or held" in wrong


async def test_it_sees_an_account_that_says_something_else(db: Connection) -> None:
    alice = await account_with(db, "1")
    await db.execute("UPDATE ledger_accounts SET balance_nanos = %s WHERE organization_id = %s", (nanos("2"), alice))
    (wrong,) = (await replay(db, alice)).wrong
    assert wrong == "the account says $2.000000000 and $0.000000000 held, not $1.000000000, $0.000000000"


async def add_hold(db: Connection, organization_id: UUID, usd: str, placed_at: datetime, closed_at: datetime) -> None:
    await db.execute(_ADD_HOLD, (new_id(), nanos(usd), placed_at, closed_at, organization_id))
