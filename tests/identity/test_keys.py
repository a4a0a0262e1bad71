"""API keys: shown once, found by their hash, revoked for good."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.site import ALICE
from pouch.base.database import Connection
from pouch.base.errors import Conflict, InvalidInput, NotFound, TooManyRequests
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.identity.errors import KeyMadeBefore
from pouch.identity.keys import (
    KEYS_MAX,
    KEYS_PER_HOUR_MAX,
    PREFIX,
    add_key,
    find_caller,
    list_keys,
    looks_real,
    new_secret,
    revoke_key,
)
from pouch.identity.people import add_person
from pouch.identity.types import KeyId, Person
from pouch.ledger.errors import Refusal
from pouch.ledger.grants import grant
from pouch.ledger.operations import Hold
from pouch.ledger.posting import post

pytestmark = pytest.mark.anyio


@pytest.fixture
async def alice(db: Connection) -> Person:
    return await add_person(db, ALICE, None, verified=True)


async def test_a_key_finds_its_caller(db: Connection, alice: Person) -> None:
    key, secret = await add_key(db, alice, "  My   laptop ", scopes=["keys", "inference"])
    caller = await find_caller(db, secret)
    assert caller is not None
    assert (caller.key_id, caller.person_id, caller.organization_id) == (key.id, alice.id, alice.organization_id)
    assert caller.scopes == {"inference", "keys"}
    assert key.name == "My laptop"
    assert secret.startswith(PREFIX)
    assert secret.endswith(key.hint)


async def test_a_dump_of_the_database_holds_no_usable_key(db: Connection, alice: Person) -> None:
    _, secret = await add_key(db, alice, "Laptop")
    rows = await db.execute("SELECT k::text FROM identity_keys k")
    dump = str(await rows.fetchall())
    assert secret not in dump
    assert secret[len(PREFIX) : -6] not in dump


async def test_a_revoked_key_is_nobody_and_can_hold_nothing(db: Connection, alice: Person) -> None:
    await grant(db, alice.organization_id, Money.from_cents(5_00), key="t", note="test")
    key, secret = await add_key(db, alice, "Laptop")
    other, _ = await add_key(db, alice, "Server")

    for _ in range(2):
        await revoke_key(db, alice.organization_id, key.id)

    assert await find_caller(db, secret) is None
    assert [listed.id for listed in await list_keys(db, alice.organization_id)] == [other.id]
    await post(db, [Hold(new_id(), alice.organization_id, 1_000, (other.id,))])
    with pytest.raises(Refusal) as refusal:
        await post(db, [Hold(new_id(), alice.organization_id, 1_000, (key.id,))])
    assert refusal.value.refused.source == "blocked"


async def test_somebody_elses_key_is_not_there(db: Connection, alice: Person) -> None:
    """Carol knows the id of Alice's key and can do nothing with it."""
    carol = await add_person(db, "carol@example.com", None, verified=True)
    key, secret = await add_key(db, alice, "Laptop")
    assert await list_keys(db, carol.organization_id) == []
    with pytest.raises(NotFound):
        await revoke_key(db, carol.organization_id, key.id)
    assert await find_caller(db, secret) is not None


async def test_a_limit_caps_what_the_key_may_ever_spend(db: Connection, alice: Person) -> None:
    await grant(db, alice.organization_id, Money.from_cents(5_00), key="t", note="test")
    key, _ = await add_key(db, alice, "Laptop", limit=Money.from_cents(1_00))
    assert key.limit is not None
    assert key.limit.cap == Money.from_cents(1_00)
    dollar = Money.from_cents(1_00).nanos
    await post(db, [Hold(new_id(), alice.organization_id, dollar, (key.id,))])
    with pytest.raises(Refusal) as refusal:
        await post(db, [Hold(new_id(), alice.organization_id, 1, (key.id,))])
    assert refusal.value.refused.source == "key_limit"


async def test_the_same_form_makes_one_key(db: Connection, alice: Person) -> None:
    key_id = KeyId(new_id())
    await add_key(db, alice, "Laptop", key_id=key_id)
    with pytest.raises(KeyMadeBefore):
        await add_key(db, alice, "Laptop", key_id=key_id)
    assert len(await list_keys(db, alice.organization_id)) == 1


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "two\x00words", "bell\a", "\u202elaptop"])
async def test_a_name_that_cannot_be_read_is_refused(db: Connection, alice: Person, name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await add_key(db, alice, name)
    assert refused.value.field == "name"


@pytest.mark.parametrize("scopes", [[], ["everything"], ["inference", "admin"]])
async def test_unknown_scopes_are_refused(db: Connection, alice: Person, scopes: list[str]) -> None:
    with pytest.raises(InvalidInput):
        await add_key(db, alice, "Laptop", scopes=scopes)


async def test_a_limit_of_nothing_is_refused(db: Connection, alice: Person) -> None:
    with pytest.raises(InvalidInput) as refused:
        await add_key(db, alice, "Laptop", limit=Money(0))
    assert refused.value.field == "limit"


async def test_an_organization_has_so_many_live_keys_and_no_more(db: Connection, alice: Person) -> None:
    for number in range(KEYS_MAX):
        key, _ = await add_key(db, alice, f"Key {number}")
    with pytest.raises(Conflict):
        await add_key(db, alice, "One more")
    await revoke_key(db, alice.organization_id, key.id)
    await add_key(db, alice, "One more")


async def test_making_and_revoking_keys_in_turns_has_an_end(db: Connection, alice: Person) -> None:
    for number in range(KEYS_PER_HOUR_MAX):
        key, _ = await add_key(db, alice, f"Key {number}")
        await revoke_key(db, alice.organization_id, key.id)
    with pytest.raises(TooManyRequests):
        await add_key(db, alice, "One more")


async def test_a_made_up_secret_is_known_by_its_checksum(db: Connection, alice: Person) -> None:
    await add_key(db, alice, "Laptop")
    secret = new_secret()
    assert looks_real(secret)
    assert await find_caller(db, secret) is None
    swapped = secret[:20] + ("A" if secret[20] != "A" else "B") + secret[21:]
    assert not looks_real(swapped)


@given(st.one_of(st.text(), st.text(min_size=49, max_size=49).map(PREFIX.__add__)))
def test_no_text_passes_for_a_secret(text: str) -> None:
    assert not looks_real(text)
