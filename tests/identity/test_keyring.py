"""The key ring: quick for known keys, right about revoked ones."""

import asyncio
import contextlib

import pytest

from identity.site import ALICE, Clock
from pouch.base.database import Database
from pouch.base.errors import Unavailable
from pouch.identity.keyring import KeyRing
from pouch.identity.keys import add_key, new_secret, revoke_key
from pouch.identity.people import add_person
from pouch.identity.ring import CALLERS_MAX, FRESH_S, USED_EVERY_S, WAITING_MAX
from pouch.identity.types import Key

pytestmark = pytest.mark.anyio


class CountingDatabase(Database):
    """A database that says how often it was asked."""

    asked = 0

    def transaction(self):  # type: ignore[no-untyped-def]  # noqa: ANN201 -- the type of what it wraps
        self.asked += 1
        return super().transaction()


@pytest.fixture
async def database(empty_database_url: str):  # type: ignore[no-untyped-def]  # noqa: ANN201 -- narrower than the shared one
    async with CountingDatabase(empty_database_url, size_max=8) as opened:
        yield opened


async def make_key(database: Database, name: str = "Laptop") -> tuple[Key, str]:
    async with database.transaction() as db:
        person = await add_person(db, f"{name.lower()}@example.com", None, verified=True)
        return await add_key(db, person, name)


async def revoke(database: Database, key: Key) -> None:
    async with database.transaction() as db:
        await revoke_key(db, key.organization_id, key.id)


async def test_a_known_key_is_looked_up_once_in_ten_seconds(database: CountingDatabase) -> None:
    key, secret = await make_key(database)
    clock = Clock()
    ring = KeyRing(database, clock=clock)
    before = database.asked
    for _ in range(50):
        caller = await ring.caller(secret)
        assert caller is not None
        assert caller.key_id == key.id
    assert database.asked == before + 1
    clock.now += FRESH_S
    await ring.caller(secret)
    assert database.asked == before + 2


async def test_a_flood_of_one_new_key_is_looked_up_a_few_times(database: CountingDatabase) -> None:
    _, secret = await make_key(database)
    ring = KeyRing(database)
    before = database.asked
    callers = await asyncio.gather(*(ring.caller(secret) for _ in range(300)))
    assert all(callers)
    assert database.asked - before <= 4


async def test_a_key_made_after_it_was_tried_is_found(database: Database) -> None:
    """Refusals are not remembered."""
    ring = KeyRing(database)
    assert await ring.caller(new_secret()) is None
    _, secret = await make_key(database)
    assert await ring.caller(secret) is not None


async def test_what_cannot_be_a_key_never_reaches_the_database(database: CountingDatabase) -> None:
    ring = KeyRing(database)
    before = database.asked
    for text in ("", "sk-pouch-", "sk-" + "x" * 60, "sk-pouch-" + "0" * 49, "x" * 100_000, "\udcff"):
        assert await ring.caller(text) is None
    assert database.asked == before


async def test_a_revoked_key_is_forgotten_here_at_once_and_elsewhere_at_the_next_tick(database: Database) -> None:
    key, secret = await make_key(database)
    here, elsewhere = KeyRing(database), KeyRing(database)
    for ring in (here, elsewhere):
        assert await ring.caller(secret) is not None

    await revoke(database, key)
    here.forget(key.id)
    assert await here.caller(secret) is None
    await elsewhere.tick()
    assert await elsewhere.caller(secret) is None


async def test_without_any_tick_a_revoked_key_works_for_ten_seconds_at_most(database: Database) -> None:
    key, secret = await make_key(database)
    clock = Clock()
    ring = KeyRing(database, clock=clock)
    await ring.caller(secret)
    await revoke(database, key)
    clock.now += FRESH_S
    assert await ring.caller(secret) is None


async def test_a_look_up_that_was_overtaken_by_a_revocation_is_not_remembered(database: Database) -> None:
    """The key is found alive, then revoked and forgotten, and only then the answer arrives."""
    key, secret = await make_key(database)
    ring = KeyRing(database)
    looking = asyncio.ensure_future(ring.caller(secret))
    while not looking.done():
        ring.forget(key.id)
        await asyncio.sleep(0)
    await revoke(database, key)
    assert await ring.caller(secret) is None


async def test_use_is_noted_once_a_minute(database: Database) -> None:
    key, secret = await make_key(database)
    clock = Clock()
    ring = KeyRing(database, clock=clock)

    async def used_at() -> object:
        async with database.transaction() as db:
            rows = await db.execute("SELECT used_at FROM identity_keys WHERE id = %s", (key.id,))
            return await rows.fetchone()

    assert await used_at() == (None,)
    await ring.caller(secret)
    await ring.tick()
    first = await used_at()
    assert first != (None,)
    clock.now += USED_EVERY_S - 1
    await ring.caller(secret)
    await ring.tick()
    assert await used_at() == first
    clock.now += 1
    await ring.tick()
    assert await used_at() != first


async def test_the_last_use_is_noted_when_the_process_goes(database: Database) -> None:
    key, secret = await make_key(database)
    ring = KeyRing(database)
    await ring.caller(secret)
    running = asyncio.ensure_future(ring.run())
    await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert running.cancelled()
    async with database.transaction() as db:
        rows = await db.execute("SELECT used_at IS NOT NULL FROM identity_keys WHERE id = %s", (key.id,))
        assert await rows.fetchone() == (True,)


async def test_a_database_that_is_away_is_said_so_and_known_keys_go_on(empty_database_url: str) -> None:
    database = Database(empty_database_url, size_max=2)
    await database.open()
    key, secret = await make_key(database)
    ring = KeyRing(database)
    await ring.caller(secret)
    await database.close()
    caller = await ring.caller(secret)
    assert caller is not None
    assert caller.key_id == key.id
    with pytest.raises(Unavailable):
        await ring.caller(new_secret())
    await ring.tick()


async def test_too_many_unknown_keys_at_once_are_sent_away(database: Database) -> None:
    ring = KeyRing(database)
    flood = [asyncio.ensure_future(ring.caller(new_secret())) for _ in range(WAITING_MAX + 50)]
    answers = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(answer, Unavailable) for answer in answers) >= 50
    assert sum(answer is None for answer in answers) > 0


async def test_memory_is_bounded(database: Database) -> None:
    """Ten thousand keys are remembered, then the one that was learnt first is looked up again."""
    async with database.transaction() as db:
        alice = await add_person(db, ALICE, None, verified=True)
        secrets = [(await add_key(db, alice, f"Key {number}"))[1] for number in range(12)]
    ring = KeyRing(database, callers_max=10)
    for secret in secrets:
        await ring.caller(secret)
    assert ring.size == 10
    assert KeyRing(database).size == 0
    assert CALLERS_MAX == 10_000
