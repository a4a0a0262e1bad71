"""Taking a grant back: only its own rest, never what is held, once."""

from datetime import UTC, datetime, timedelta

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from pouch.base.errors import NotFound
from pouch.base.ids import new_id
from pouch.base.money import ZERO, Money
from pouch.ledger import given
from pouch.ledger.accounts import balance
from pouch.ledger.check import check
from pouch.ledger.grants import grant, grant_id_of
from pouch.ledger.lots import GrantKind, lots_of
from pouch.ledger.operations import Capture, Release, Transfer
from pouch.ledger.posting import post
from support.ledger import account_with, hold_of, nanos

pytestmark = pytest.mark.anyio

Db = AsyncConnection[TupleRow]
USD = Money.parse


async def give(db: Db, organization_id: object, usd: str, key: str, kind: GrantKind = "promotional") -> None:
    await grant(db, organization_id, USD(usd), key=f"{organization_id}:{key}", note=key, kind=kind)  # type: ignore[arg-type]  # an id


async def test_the_rest_of_one_grant_goes_and_every_other_credit_stays(db: Db) -> None:
    """The one taken back is spent last of all, and still nothing of the others is touched."""
    alice = await account_with(db, "0")
    await give(db, alice, "5", "promotional")
    await post(db, [Transfer(f"buy:{alice}", "stripe_clearing", alice, nanos("10"), "purchase", cause=new_id())])
    await give(db, alice, "20", "compensation", "compensation")
    grant_id = grant_id_of(f"{alice}:compensation")
    assert await given.revoke(db, grant_id, note="Mistake") == USD("20")
    assert [lot.left for lot in await lots_of(db, alice)] == [USD("5"), USD("10")]
    assert (await given.find(db, grant_id)).state == "revoked"
    assert await given.revoke(db, grant_id, note="Mistake") == ZERO
    assert (await balance(db, alice)).posted == USD("15")
    assert await check(db) == []


async def test_what_a_call_holds_stays_until_it_ends(db: Db) -> None:
    alice = await account_with(db, "10")
    grant_id = grant_id_of(str(alice))
    hold = hold_of(alice, "4")
    await post(db, [hold])
    assert await given.revoke(db, grant_id, note="") == USD("6")
    assert (await given.find(db, grant_id)).state == "part_spent"
    assert await given.revoke(db, grant_id, note="") == ZERO
    await post(db, [Capture(hold, nanos("1"))])
    assert await given.revoke(db, grant_id, note="") == USD("3")
    assert (await given.find(db, grant_id)).state == "revoked"
    assert (await balance(db, alice)).posted == ZERO
    assert await check(db) == []


async def test_a_held_part_that_comes_back_can_be_taken_back_again(db: Db) -> None:
    """Twice the same rest is left: each time is a posting of its own."""
    alice = await account_with(db, "10")
    grant_id = grant_id_of(str(alice))
    first = hold_of(alice, "10")
    await post(db, [first])
    assert await given.revoke(db, grant_id, note="") == ZERO
    await post(db, [Release(first)])
    assert await given.revoke(db, grant_id, note="") == USD("10")


async def test_states_say_what_became_of_a_grant(db: Db) -> None:
    alice = await account_with(db, "0")
    await give(db, alice, "5", "first")
    first = grant_id_of(f"{alice}:first")
    assert (await given.find(db, first)).state == "unspent"
    hold = hold_of(alice, "5")
    await post(db, [hold, Capture(hold, nanos("2"))])
    assert ((await given.find(db, first)).state, (await given.find(db, first)).left) == ("part_spent", USD("3"))
    hold = hold_of(alice, "3")
    await post(db, [hold, Capture(hold, nanos("3"))])
    assert (await given.find(db, first)).state == "spent"
    ends = datetime.now(UTC) + timedelta(days=1)
    await grant(db, alice, USD("1"), key=f"{alice}:ends", note="ends", expires_at=ends)
    assert (await given.newest(db, limit=1))[0].expires_at == ends
    with pytest.raises(NotFound):
        await given.find(db, new_id())
