import asyncio
from datetime import timedelta

import pytest

from ledger.test_lots import end, give, now, purchase_of, spend, standing
from pouch.base.database import Connection, Database
from pouch.base.money import Money
from pouch.ledger import accounts, grants, lots
from pouch.ledger.check import check_now
from pouch.ledger.tending import Expiry, Snapshots
from support.ledger import account_with

pytestmark = pytest.mark.anyio


async def test_a_round_expires_what_is_due_and_nothing_else(database_url: str) -> None:
    async with Database(database_url) as database:
        async with database.transaction() as db:
            alice, carol = await account_with(db, "0"), await account_with(db, "0")
            await end(db, await give(db, alice, "5", days=1))
            await end(db, await give(db, carol, "3", days=1))
            await give(db, carol, "2", days=1)
            await purchase_of(db, alice, "10")
        await asyncio.gather(Expiry(database)(), Expiry(database)(), Expiry(database)())
        async with database.transaction() as db:
            assert [await standing(db, each) for each in (alice, carol)] == [["10"], ["2"]]
            rows = await db.execute("SELECT count(*) FROM ledger_transfers WHERE kind = 'expiry'")
            assert await rows.fetchall() == [(2,)]
        async with database.transaction() as db:
            assert await check_now(db) == []


async def test_more_grants_than_one_look_takes_all_expire(database_url: str) -> None:
    """Those whose credits are held stay due, and do not stand in the way of the others."""
    async with Database(database_url) as database:
        async with database.transaction() as db:
            alice = await account_with(db, "0")
            until = await now(db) + timedelta(days=1)
            for number in range(grants.DUE_MAX + 5):
                await grants.grant(db, alice, Money.parse("1"), key=f"{alice} {number}", note="", expires_at=until)
            await db.execute("UPDATE ledger_grants SET expires_at = now() - interval '1 second'")
        await Expiry(database)()
        async with database.transaction() as db:
            assert (await accounts.balance(db, alice)).posted == Money(0)


async def test_a_snapshot_is_taken_once_a_day_of_what_has_changed(database_url: str) -> None:
    async with Database(database_url) as database:
        async with database.transaction() as db:
            alice, _ = await account_with(db, "5"), await account_with(db, "0")
        await Snapshots(database)()
        async with database.transaction() as db:
            assert await snapshots(db) == [Money.parse("5").nanos]
            await spend(db, alice, "2")
            assert await lots.accounts_to_snapshot(db, 10) == []
            await db.execute("UPDATE ledger_lot_snapshots SET taken_at = taken_at - interval '25 hours'")
        await Snapshots(database)()
        async with database.transaction() as db:
            assert await snapshots(db) == [Money.parse("3").nanos]
            assert await standing(db, alice) == ["3"]
            await db.execute("UPDATE ledger_lot_snapshots SET taken_at = taken_at - interval '25 hours'")
            assert await lots.accounts_to_snapshot(db, 10) == [], "nothing has changed since"


async def snapshots(db: Connection) -> list[int]:
    rows = await db.execute("SELECT left_nanos[1] FROM ledger_lot_snapshots")
    return [nanos for (nanos,) in await rows.fetchall()]
