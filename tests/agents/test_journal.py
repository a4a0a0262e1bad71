import asyncio

import pytest

from agents.house import House
from pouch.agents.events import events_after
from pouch.agents.journal import Journal
from pouch.agents.redaction import Redaction

pytestmark = pytest.mark.anyio


async def test_events_are_written_once_however_often_they_are_flushed(house: House) -> None:
    """The journal writes by itself and is asked to at the end of an attempt: both at once happen."""
    run = await house.start()
    taken = await house.take(run)
    assert taken is not None
    journal = Journal(house.database, taken.claim, Redaction([]))
    for number in range(50):
        journal.note("message", text=str(number))
    await asyncio.gather(journal.flush(), journal.flush(), journal.flush())
    async with house.database.transaction() as db:
        events = await events_after(db, run.id, 0, limit=500)
    said = [event.body["text"] for event in events if event.type == "message"]
    assert said == ["Fix it", *map(str, range(50))]
