"""Sessions: whose cookie this is, and until when."""

import pytest

from identity.site import ALICE
from pouch.base.database import Connection
from pouch.identity.people import add_person
from pouch.identity.sessions import end_session, find_session, start_session

pytestmark = pytest.mark.anyio


async def age(db: Connection, *, days: float, column: str) -> None:
    """Let every session be older than it is."""
    await db.execute(f"UPDATE identity_sessions SET {column} = {column} - make_interval(secs => %s)", (days * 86400,))


async def test_a_session_says_who_is_signed_in(db: Connection) -> None:
    alice = await add_person(db, ALICE, None, verified=True, operator=True)
    secret = await start_session(db, alice.id, user_agent="Firefox", address="192.0.2.1")

    found = await find_session(db, secret)

    assert found is not None
    assert (found.person_id, found.organization_id, found.email) == (alice.id, alice.organization_id, ALICE)
    assert found.is_operator
    assert found.is_verified


async def test_the_secret_is_not_in_the_database(db: Connection) -> None:
    alice = await add_person(db, ALICE, None, verified=True)
    secret = await start_session(db, alice.id)
    rows = await db.execute("SELECT s::text FROM identity_sessions s")
    stored = str(await rows.fetchall())
    assert secret not in stored
    assert secret.encode().hex() not in stored


@pytest.mark.parametrize("secret", ["", "x", "x" * 10_000, "\udcff", "é"])
async def test_an_unknown_secret_is_nobody(db: Connection, secret: str) -> None:
    assert await find_session(db, secret) is None


async def test_an_ended_session_is_nobody(db: Connection) -> None:
    alice = await add_person(db, ALICE, None, verified=True)
    here, there = await start_session(db, alice.id), await start_session(db, alice.id)
    found = await find_session(db, here)
    assert found is not None
    for _ in range(2):
        await end_session(db, found.session_id)
    assert await find_session(db, here) is None
    assert await find_session(db, there) is not None


async def test_a_session_that_nobody_used_for_thirty_days_has_ended(db: Connection) -> None:
    alice = await add_person(db, ALICE, None, verified=True)
    secret = await start_session(db, alice.id)
    await age(db, days=29.9, column="seen_at")
    assert await find_session(db, secret) is not None  # and this look keeps it alive
    await age(db, days=29.9, column="seen_at")
    assert await find_session(db, secret) is not None
    await age(db, days=30.1, column="seen_at")
    assert await find_session(db, secret) is None


async def test_a_session_ends_after_ninety_days_however_busy(db: Connection) -> None:
    alice = await add_person(db, ALICE, None, verified=True)
    secret = await start_session(db, alice.id)
    await age(db, days=1, column="created_at")
    await age(db, days=89.9, column="expires_at")
    assert await find_session(db, secret) is not None
    await age(db, days=0.2, column="expires_at")
    assert await find_session(db, secret) is None


async def test_a_look_within_five_minutes_writes_nothing(db: Connection) -> None:
    alice = await add_person(db, ALICE, None, verified=True)
    secret = await start_session(db, alice.id)
    await age(db, days=4 / 1440, column="seen_at")
    rows = await db.execute("SELECT seen_at FROM identity_sessions")
    before = await rows.fetchone()
    await find_session(db, secret)
    rows = await db.execute("SELECT seen_at FROM identity_sessions")
    assert await rows.fetchone() == before


async def test_sessions_that_have_ended_are_forgotten_at_the_next_sign_in(db: Connection) -> None:
    alice = await add_person(db, ALICE, None, verified=True)
    await start_session(db, alice.id)
    await age(db, days=31, column="seen_at")
    await start_session(db, alice.id)
    rows = await db.execute("SELECT count(*) FROM identity_sessions")
    assert await rows.fetchone() == (1,)


async def test_who_left_an_organization_no_longer_sees_it(db: Connection) -> None:
    alice = await add_person(db, ALICE, None, verified=True)
    secret = await start_session(db, alice.id)
    await db.execute("DELETE FROM identity_memberships")
    assert await find_session(db, secret) is None
