"""One letter for each crossing, armed again above the mark."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from pouch.base.database import Connection, Database
from pouch.base.money import Money
from pouch.billing.alerts import Alerts, MonthlyStatements, Notices, alerts_of, look, set_alerts, tell_month
from pouch.identity.organizations import add_member
from pouch.identity.people import add_person
from pouch.identity.types import Organization, Person
from pouch.ledger.grants import grant
from pouch.ledger.operations import Capture
from pouch.ledger.posting import post
from support.ledger import hold_of

pytestmark = pytest.mark.anyio

FIVE = Money.parse("5")


async def owner(db: Connection, email: str = "alice@harbor.example") -> Person:
    return await add_person(db, email, None, verified=True)


async def give(db: Connection, person: Person, usd: str, key: str) -> None:
    await grant(db, person.organization_id, Money.parse(usd), key=f"{person.id} {key}", note="")


async def spend(db: Connection, organization_id: UUID, usd: str) -> None:
    hold = hold_of(organization_id, usd)
    await post(db, [hold])
    await post(db, [Capture(hold, hold.amount_nanos)])


async def letters(db: Connection, person: Person) -> list[str]:
    rows = await db.execute("SELECT kind FROM mail_letters WHERE to_address = %s ORDER BY id", (person.email,))
    return [kind for (kind,) in await rows.fetchall()]


async def test_a_low_balance_is_told_once_and_again_after_it_was_above(db: Connection) -> None:
    alice = await owner(db)
    await set_alerts(db, alice.organization_id, Alerts(low=FIVE))
    await give(db, alice, "10", "first")
    await look(db)
    assert await letters(db, alice) == []
    await spend(db, alice.organization_id, "5")
    await look(db)
    assert await letters(db, alice) == [], "at the mark is not below it"
    await spend(db, alice.organization_id, "0.000000001")
    for _ in range(3):
        await look(db)
    assert await letters(db, alice) == ["low_balance"]
    await give(db, alice, "5", "second")
    await look(db)
    await spend(db, alice.organization_id, "6")
    await look(db)
    assert await letters(db, alice) == ["low_balance", "low_balance"]


async def test_at_zero_only_zero_is_told_and_to_nobody_who_never_had_credits(db: Connection) -> None:
    alice, carol = await owner(db), await owner(db, "carol@elsewhere.example")
    await set_alerts(db, alice.organization_id, Alerts(low=FIVE))
    await give(db, alice, "6", "first")
    await look(db)
    await spend(db, alice.organization_id, "5.999999999")
    for _ in range(2):
        await look(db)
    assert await letters(db, alice) == ["zero_balance"]
    assert await letters(db, carol) == []
    await give(db, alice, "1", "second")
    await look(db)
    await spend(db, alice.organization_id, "1")
    await look(db)
    assert await letters(db, alice) == ["zero_balance", "zero_balance"]


async def test_what_is_held_is_not_spent(db: Connection) -> None:
    alice = await owner(db)
    await set_alerts(db, alice.organization_id, Alerts(low=FIVE))
    await give(db, alice, "10", "first")
    await post(db, [hold_of(alice.organization_id, "9.99")])
    await look(db)
    assert await letters(db, alice) == []


async def test_who_wants_no_notice_gets_none(db: Connection) -> None:
    alice = await owner(db)
    await set_alerts(db, alice.organization_id, Alerts(tells_zero=False, tells_month=False))
    assert await alerts_of(db, alice.organization_id) == Alerts(None, tells_zero=False, tells_month=False)
    await give(db, alice, "10", "first")
    await look(db)
    await spend(db, alice.organization_id, "10")
    await look(db)
    assert not await tell_month(db, alice.organization_id, datetime.now(UTC).date().replace(day=1))
    assert await letters(db, alice) == []


async def test_a_new_mark_below_which_the_balance_is_already_is_told_once(db: Connection) -> None:
    alice = await owner(db)
    await give(db, alice, "3", "first")
    await set_alerts(db, alice.organization_id, Alerts(low=FIVE))
    for _ in range(2):
        await look(db)
    await set_alerts(db, alice.organization_id, Alerts(low=FIVE, tells_month=False))
    await look(db)
    assert await letters(db, alice) == ["low_balance"]


async def test_owners_are_told_and_members_are_not(db: Connection) -> None:
    alice, bob = await owner(db), await owner(db, "bob@harbor.example")
    await add_member(db, Organization(alice.organization_id, "Harbor", is_personal=True), bob, "member")
    await set_alerts(db, alice.organization_id, Alerts(low=FIVE))
    await give(db, alice, "3", "first")
    await look(db)
    assert (await letters(db, alice), await letters(db, bob)) == (["low_balance"], [])


async def test_many_rounds_at_once_write_one_letter(database_url: str) -> None:
    async with Database(database_url, size_max=10) as database:
        async with database.transaction() as db:
            alice = await owner(db)
            await give(db, alice, "3", "first")
            await set_alerts(db, alice.organization_id, Alerts(low=FIVE))
        await asyncio.gather(*(Notices(database)() for _ in range(10)))
        async with database.transaction() as db:
            assert await letters(db, alice) == ["low_balance"]


async def test_each_month_has_one_statement_by_mail_for_accounts_that_did_something(database_url: str) -> None:
    async with Database(database_url, size_max=10) as database:
        async with database.transaction() as db:
            alice, carol = await owner(db), await owner(db, "carol@elsewhere.example")
            await give(db, alice, "3", "first")
        later = datetime.now(UTC).replace(day=1) + timedelta(days=40)
        round_ = MonthlyStatements(database, clock=lambda: later.replace(day=1))
        await asyncio.gather(*(round_() for _ in range(5)))
        async with database.transaction() as db:
            assert (await letters(db, alice), await letters(db, carol)) == (["statement"], [])
