"""Leases: whose process is gone loses its holds, uncharged; whose lives keeps them."""

from datetime import timedelta
from uuid import UUID

import pytest

from pouch.base.database import Connection
from pouch.base.money import ZERO, Money
from pouch.ledger.accounts import balance
from pouch.ledger.check import check
from pouch.ledger.leases import LOST_AFTER_S, ExpiredHold, beat, give_up_lease, sweep, take_lease
from pouch.ledger.limits import limits_of, set_limit
from pouch.ledger.operations import Capture, Captured
from pouch.ledger.posting import post
from support.ledger import account_with, hold_of, nanos

pytestmark = pytest.mark.anyio


async def age(db: Connection, lease: UUID, seconds: float) -> None:
    """As if the process had been silent for so long."""
    await db.execute("UPDATE ledger_leases SET beat_at = now() - %s WHERE id = %s", (timedelta(seconds=seconds), lease))


async def test_a_silent_process_loses_its_holds_uncharged(db: Connection) -> None:
    alice, lease = await account_with(db, "5"), await take_lease(db, "one")
    await set_limit(db, alice, kind="organization", cap=Money.parse("5"))
    hold = hold_of(alice, "2", alice, lease_id=lease)
    await post(db, [hold])
    await age(db, lease, LOST_AFTER_S + 1)
    assert await sweep(db) == [ExpiredHold(hold.id, alice, Money.parse("2"))]
    assert await sweep(db) == []
    has = await balance(db, alice)
    assert (has.posted, has.held) == (Money.parse("5"), ZERO)
    (limit,) = (await limits_of(db, [alice]))[alice]
    assert (limit.spent, limit.held) == (ZERO, ZERO)
    assert await check(db) == []


async def test_a_process_that_beats_keeps_its_holds(db: Connection) -> None:
    alice, lease = await account_with(db, "5"), await take_lease(db, "one")
    await post(db, [hold_of(alice, "2", lease_id=lease), hold_of(alice, "1")])
    await age(db, lease, LOST_AFTER_S - 1)
    assert await sweep(db) == []
    await age(db, lease, LOST_AFTER_S + 1)
    assert await beat(db, lease)
    assert await sweep(db) == []
    assert (await balance(db, alice)).held == Money.parse("3")


async def test_a_hold_without_a_lease_waits_for_its_own_end(db: Connection) -> None:
    alice, lease = await account_with(db, "5"), await take_lease(db, "one")
    await post(db, [hold_of(alice, "2")])
    await give_up_lease(db, lease)
    assert await sweep(db) == []


async def test_a_fenced_process_is_told_at_its_next_beat_and_captures_late(db: Connection) -> None:
    """It lost its lease while its call ran on: the capture takes what is there, and no other hold of the account."""
    alice, lease = await account_with(db, "5"), await take_lease(db, "one")
    hold = hold_of(alice, "3", lease_id=lease)
    await post(db, [hold])
    await age(db, lease, LOST_AFTER_S + 1)
    await sweep(db)
    assert not await beat(db, lease)
    await post(db, [hold_of(alice, "4")])
    assert await post(db, [Capture(hold, nanos("3"))]) == [Captured(nanos("1"), nanos("2"))]
    assert await check(db) == []


async def test_a_process_that_begins_anew_takes_over_from_its_former_self(db: Connection) -> None:
    alice, other = await account_with(db, "5"), await take_lease(db, "other")
    former = await take_lease(db, "one")
    kept = hold_of(alice, "2", lease_id=other)
    await post(db, [hold_of(alice, "1", lease_id=former), kept])
    await take_lease(db, "one")
    assert not await beat(db, former)
    assert await beat(db, other)
    assert len(await sweep(db)) == 1
    assert (await balance(db, alice)).held == Money(kept.amount_nanos)
