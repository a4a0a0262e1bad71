"""One process at a time moves a row; who lost the claim writes nothing."""

from uuid import UUID

import pytest

from pouch.base.database import Connection
from pouch.base.ids import new_id
from pouch.jobs.claims import Claim, Retries, claim, due, fail, finish, renew

pytestmark = pytest.mark.anyio

RETRIES = Retries(delays_s=(10, 60), attempts_max=3, waiting="open", stuck="failed")


@pytest.fixture
async def row_id(db: Connection) -> UUID:
    """A row with something to do."""
    await db.execute(
        """
        CREATE TEMPORARY TABLE test_rows (
            id uuid PRIMARY KEY, state text NOT NULL DEFAULT 'open', due_at timestamptz DEFAULT now(),
            lease_until timestamptz, epoch bigint NOT NULL DEFAULT 0, attempts integer NOT NULL DEFAULT 0,
            error text NOT NULL DEFAULT '', done_at timestamptz
        ) ON COMMIT DROP
        """
    )
    row_id = new_id()
    await db.execute("INSERT INTO test_rows (id) VALUES (%s)", (row_id,))
    return row_id


async def test_a_claimed_row_cannot_be_claimed_until_its_lease_ends(db: Connection, row_id: UUID) -> None:
    first = await claimed(db, row_id)
    assert await claim(db, "test_rows", row_id, 60) is None
    assert await due(db, "test_rows") == []

    await lease_ends(db)

    assert await due(db, "test_rows") == [row_id]
    second = await claimed(db, row_id)
    assert (first.epoch, second.epoch, second.attempts) == (1, 2, 2)


async def test_whoever_lost_the_claim_writes_nothing(db: Connection, row_id: UUID) -> None:
    """A worker that was frozen wakes up while another one works on its row, and again when that one has finished."""
    frozen = await claimed(db, row_id)
    await lease_ends(db)
    awake = await claimed(db, row_id)

    for _ in range(2):
        assert not await renew(db, frozen, 60)
        assert not await finish(db, frozen, "done")
        assert await fail(db, frozen, "too late", RETRIES) == "fenced"
        assert await finish(db, awake, "done", stamp="done_at") in {True, False}

    assert await columns(db, "state, due_at, lease_until, error, epoch") == ("done", None, None, "", 2)


async def test_a_finished_row_is_never_due_again(db: Connection, row_id: UUID) -> None:
    held = await claimed(db, row_id)

    assert await finish(db, held, "done", stamp="done_at")

    assert not await finish(db, held, "done")
    assert await claim(db, "test_rows", row_id, 60) is None
    assert await due(db, "test_rows") == []
    assert await columns(db, "done_at = now(), due_at, lease_until") == (True, None, None)


async def test_a_failed_row_waits_longer_each_time_and_is_stuck_in_the_end(db: Connection, row_id: UUID) -> None:
    waits: list[tuple[float, float]] = [(8, 12), (48, 72)]
    for least, most in waits:
        held = await claimed(db, row_id, state="busy")
        assert await columns(db, "state") == ("busy",)
        assert await fail(db, held, "the far end is away", RETRIES) == "again"
        state, wait_s = await columns(db, "state, extract(epoch FROM due_at - now())::float8")
        assert state == "open"
        assert isinstance(wait_s, float)
        assert least <= wait_s <= most
        assert await claim(db, "test_rows", row_id, 60) is None
        await db.execute("UPDATE test_rows SET due_at = now()")

    assert await fail(db, await claimed(db, row_id), "away \x00" + "!" * 1000, RETRIES) == "given_up"

    assert await columns(db, "state, due_at, attempts, length(error)") == ("failed", None, 3, 500)


async def test_what_no_attempt_can_mend_is_given_up_at_once(db: Connection, row_id: UUID) -> None:
    assert await fail(db, await claimed(db, row_id), "no such address", RETRIES.none_left()) == "given_up"
    assert await columns(db, "state, error") == ("failed", "no such address")


async def test_a_renewed_lease_keeps_others_out(db: Connection, row_id: UUID) -> None:
    held = await claimed(db, row_id)
    await lease_ends(db)

    assert await renew(db, held, 60)

    assert await claim(db, "test_rows", row_id, 60) is None


async def claimed(db: Connection, row_id: UUID, state: str | None = None) -> Claim:
    held = await claim(db, "test_rows", row_id, 60, state=state)
    assert held
    return held


async def lease_ends(db: Connection) -> None:
    await db.execute("UPDATE test_rows SET lease_until = now() - interval '1 second'")


async def columns(db: Connection, names: str) -> tuple[object, ...]:
    row = await (await db.execute(f"SELECT {names} FROM test_rows".encode())).fetchone()
    assert row
    return tuple(row)
