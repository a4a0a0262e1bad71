"""Automations start a run once for each of their times, and what was missed is made up for once."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from agents.house import SAMPLE, House
from pouch.agents.asking import Asking
from pouch.agents.schedules import (
    Schedule,
    ScheduleJobs,
    add_schedule,
    find_schedule,
    next_time,
    remove_schedule,
    switch,
)
from pouch.agents.store import list_runs

pytestmark = pytest.mark.anyio

FRIDAY = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)


def jobs(house: House) -> ScheduleJobs:
    asking = Asking(find=lambda _: house.model, first=lambda: house.model)
    return ScheduleJobs(house.database, asking)


async def made(house: House, *, repository: str = SAMPLE) -> UUID:
    async with house.database.transaction() as db:
        fields = {"task": "Review what changed", "repository": repository, "agent": "reviewer", "cap_usd": "0.50"}
        organization, person = house.alice.organization_id, house.alice.id
        return await add_schedule(
            db, organization, person_id=person, name="Mornings", fields=fields, weekday=None, minute=360
        )


async def make_due(house: House) -> None:
    async with house.database.transaction() as db:
        await db.execute("UPDATE agent_schedules SET due_at = now() - interval '3 days' WHERE due_at IS NOT NULL")


async def now(house: House, schedule_id: UUID) -> Schedule:
    async with house.database.transaction() as db:
        return await find_schedule(db, house.alice.organization_id, schedule_id)


async def runs(house: House) -> list[tuple[str, str]]:
    async with house.database.transaction() as db:
        found = await list_runs(db, house.alice.organization_id, limit=10)
    return [(run.kind, run.trigger) for run in found]


@pytest.mark.parametrize(
    ("weekday", "minute", "expected"),
    [
        (None, 13 * 60, datetime(2026, 11, 27, 13, 0, tzinfo=UTC)),
        (None, 12 * 60 + 30, datetime(2026, 11, 28, 12, 30, tzinfo=UTC)),
        (4, 12 * 60, datetime(2026, 12, 4, 12, 0, tzinfo=UTC)),
        (0, 0, datetime(2026, 11, 30, 0, 0, tzinfo=UTC)),
    ],
)
def test_the_next_time_is_after_now(weekday: int | None, minute: int, expected: datetime) -> None:
    assert next_time(weekday, minute, FRIDAY) == expected


async def test_a_time_that_has_come_starts_one_run_however_often_the_bell_rings(house: House) -> None:
    await house.show_worker()
    schedule_id = await made(house)
    await make_due(house)
    for _ in range(3):
        await jobs(house).start(schedule_id)
    assert await runs(house) == [("reviewer", "schedule")]
    after = await now(house, schedule_id)
    assert after.last_run_id is not None
    assert after.due_at is not None
    assert after.due_at > datetime.now(UTC)


async def test_a_worker_that_died_after_the_start_starts_no_second_run(house: House) -> None:
    await house.show_worker()
    schedule_id = await made(house)
    await make_due(house)
    due = (await now(house, schedule_id)).due_at
    await jobs(house).start(schedule_id)
    async with house.database.transaction() as db:
        await db.execute("UPDATE agent_schedules SET due_at = %s, lease_until = NULL", (due,))
    await jobs(house).start(schedule_id)
    assert len(await runs(house)) == 1


async def test_what_cannot_start_is_told_and_its_next_time_comes(house: House) -> None:
    """Nobody runs agents at that hour."""
    schedule_id = await made(house)
    await make_due(house)
    await jobs(house).start(schedule_id)
    after = await now(house, schedule_id)
    assert await runs(house) == []
    assert "no worker is ready" in after.told
    assert after.due_at is not None


async def test_what_is_off_or_gone_starts_nothing(house: House) -> None:
    await house.show_worker()
    schedule_id = await made(house)
    schedule = await now(house, schedule_id)
    async with house.database.transaction() as db:
        await switch(db, schedule, is_on=False)
    await jobs(house).start(schedule_id)
    async with house.database.transaction() as db:
        await switch(db, schedule, is_on=True)
        await remove_schedule(db, schedule)
    await make_due(house)
    await jobs(house).start(schedule_id)
    assert await runs(house) == []
