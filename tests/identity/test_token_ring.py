"""The token ring and the callers: quick for known tokens, right about those of signed-out devices."""

from datetime import timedelta

import pytest

from identity.site import ALICE, Clock
from pouch.base.clock import system_clock
from pouch.base.database import Database
from pouch.base.secret_keys import SecretKeys
from pouch.identity.callers import Callers
from pouch.identity.devices import add_device, revoke_device
from pouch.identity.keyring import KeyRing
from pouch.identity.keys import add_key
from pouch.identity.people import add_person
from pouch.identity.ring import FRESH_S
from pouch.identity.session_tokens import SessionTokens
from pouch.identity.token_ring import TokenRing
from pouch.identity.types import DeviceId, Person

pytestmark = pytest.mark.anyio

TOKENS = SessionTokens(SecretKeys("the secret key of the tests"))


async def signed_in(database: Database) -> tuple[Person, DeviceId, str]:
    async with database.transaction() as db:
        alice = await add_person(db, ALICE, None, verified=True)
        device = await add_device(db, alice.id, alice.organization_id, kind="cli", name="Terminal")
    return alice, device, TOKENS.make(device, alice.id, None, lifetime_s=600)


async def sign_out(database: Database, person: Person, device: DeviceId) -> None:
    async with database.transaction() as db:
        await revoke_device(db, person.id, device)


async def test_keys_and_session_tokens_are_told_apart(database: Database) -> None:
    alice, device, token = await signed_in(database)
    async with database.transaction() as db:
        key, secret = await add_key(db, alice, "Laptop", scopes=["inference", "keys"])
    callers = Callers(KeyRing(database), TokenRing(database, TOKENS))
    by_key, by_token = await callers.caller(secret), await callers.caller(token)
    assert by_key is not None
    assert by_token is not None
    assert (by_key.key_id, by_key.scopes) == (key.id, frozenset({"inference", "keys"}))
    assert (DeviceId(by_token.key_id), by_token.scopes) == (device, frozenset({"inference"}))
    for each in (by_key, by_token):
        assert (each.person_id, each.organization_id) == (alice.id, alice.organization_id)
    for nobody in ("unauthenticated", "", "a.b.c", token + "x", "tok-123"):
        assert await callers.caller(nobody) is None


async def test_a_signed_out_device_is_forgotten_here_at_once_and_elsewhere_at_the_next_tick(database: Database) -> None:
    alice, device, token = await signed_in(database)
    here, elsewhere = TokenRing(database, TOKENS), TokenRing(database, TOKENS)
    for ring in (here, elsewhere):
        assert await ring.holder(token) is not None
    await sign_out(database, alice, device)
    here.forget(device)
    assert await here.holder(token) is None
    await elsewhere.tick()
    assert await elsewhere.holder(token) is None


async def test_without_any_tick_its_tokens_work_for_ten_seconds_at_most(database: Database) -> None:
    alice, device, token = await signed_in(database)
    clock = Clock()
    ring = TokenRing(database, TOKENS, clock=clock)
    assert await ring.holder(token) is not None
    await sign_out(database, alice, device)
    clock.now += FRESH_S
    assert await ring.holder(token) is None


async def test_a_remembered_token_ends_when_it_says(database: Database) -> None:
    """Also while the answer about it is fresh."""
    alice, device, _ = await signed_in(database)
    token = TOKENS.make(device, alice.id, None, lifetime_s=60)
    now = system_clock()
    ring = TokenRing(database, TOKENS, clock=Clock(), now=lambda: now)
    assert await ring.holder(token) is not None
    now += timedelta(seconds=61)
    assert await ring.holder(token) is None


async def test_use_is_noted(database: Database) -> None:
    _, device, token = await signed_in(database)
    ring = TokenRing(database, TOKENS)
    async with database.transaction() as db:
        await db.execute("UPDATE identity_devices SET created_at = created_at - interval '1 hour'")
    await ring.holder(token)
    await ring.tick()
    async with database.transaction() as db:
        rows = await db.execute("SELECT seen_at IS NOT NULL FROM identity_devices WHERE id = %s", (device,))
        assert await rows.fetchone() == (True,)
