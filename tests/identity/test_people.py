"""Registering people and finding them."""

import asyncio

import pytest

from identity.site import ALICE
from pouch.base.database import Connection, Database
from pouch.base.errors import InvalidInput
from pouch.base.money import ZERO, Money
from pouch.identity.errors import AddressTaken
from pouch.identity.people import add_person, find_person
from pouch.identity.types import Person
from pouch.ledger.accounts import balance

pytestmark = pytest.mark.anyio


async def test_a_new_person_has_an_organization_that_they_own_and_an_empty_account(db: Connection) -> None:
    alice = await add_person(db, "Alice@Example.com", None, verified=False)

    rows = await db.execute(
        "SELECT person_id, role FROM identity_memberships WHERE organization_id = %s", (alice.organization_id,)
    )
    assert await rows.fetchall() == [(alice.id, "owner")]
    rows = await db.execute("SELECT kind FROM ledger_accounts WHERE organization_id = %s", (alice.organization_id,))
    assert await rows.fetchall() == [("customer",)]
    assert (await balance(db, alice.organization_id)).posted == ZERO
    assert alice.verified_at is None
    assert not alice.is_operator


async def test_the_welcome_grant_is_given_to_each_with_the_registration(db: Connection) -> None:
    for email in (ALICE, "bob@example.com"):
        person = await add_person(db, email, None, verified=True, welcome=Money.from_cents(2_50))
        assert (await balance(db, person.organization_id)).available == Money.from_cents(2_50)


async def test_a_person_is_found_by_any_spelling_of_their_address(db: Connection) -> None:
    alice = await add_person(db, "Alice@Example.com", None, verified=True)
    assert await find_person(db, " ALICE@example.COM ") == alice
    assert alice.email == "Alice@example.com"
    assert await find_person(db, "carol@example.com") is None
    assert await find_person(db, "not an address") is None


async def test_an_address_is_registered_once_in_whatever_spelling(db: Connection) -> None:
    await add_person(db, ALICE, None, verified=True)
    with pytest.raises(AddressTaken):
        await add_person(db, "ＡＬＩＣＥ@example.com", None, verified=True)  # noqa: RUF001 -- full width on purpose


async def test_an_unverified_person_keeps_no_address_from_anybody(db: Connection) -> None:
    """Carol types Alice's address; Alice registers as if nobody had, and is the one who is found."""
    carol = await add_person(db, ALICE, None, verified=False)
    assert await find_person(db, ALICE) == carol
    alice = await add_person(db, ALICE, None, verified=True)
    await add_person(db, ALICE, None, verified=False)
    assert await find_person(db, ALICE) == alice


async def test_one_mailbox_gets_one_welcome(db: Connection) -> None:
    """Fifty accounts with dots and tags in the address are one person with one gift."""
    given = []
    for number in range(50):
        person = await add_person(
            db, f"a.lice+{number}@example.com", None, verified=True, welcome=Money.from_cents(1_00)
        )
        given.append((await balance(db, person.organization_id)).posted)
    assert given == [Money.from_cents(1_00)] + [ZERO] * 49


async def test_a_look_alike_is_not_registered(db: Connection) -> None:
    with pytest.raises(InvalidInput):
        await add_person(db, "\u0430lice@example.com", None, verified=False)


async def test_of_twenty_registrations_at_once_one_succeeds_and_one_grant_is_given(database: Database) -> None:
    """Dots in the timing of a race must not make a second account or a second welcome."""

    async def register(email: str) -> object:
        try:
            async with database.transaction() as db:
                return await add_person(db, email, None, verified=True, welcome=Money.from_cents(1_00))
        except AddressTaken as taken:
            return taken

    spellings = [ALICE, ALICE.upper()] * 10
    answers = await asyncio.gather(*(register(email) for email in spellings))

    (alice,) = [answer for answer in answers if isinstance(answer, Person)]
    async with database.transaction() as db:
        assert (await balance(db, alice.organization_id)).posted == Money.from_cents(1_00)
        rows = await db.execute("SELECT count(*) FROM identity_organizations")
        assert await rows.fetchone() == (1,)
