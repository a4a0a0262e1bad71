"""Who waits in line for credits that another process holds, while this one is busy with other accounts."""

import asyncio
from uuid import UUID

import pytest

from pouch.ledger.operations import Admitted, Release
from pouch.ledger.posting import post
from pouch.ledger.writer import Writer, running_writer
from support.ledger import account_with, hold_of
from support.people import committing
from support.pouch import POLL_S

pytestmark = pytest.mark.anyio


async def test_who_waits_in_line_hears_of_room_that_another_process_made(database_url: str) -> None:
    """Both of them: the first, who was judged, and the second, who came to a line that stood there already."""
    async with committing(database_url) as db:
        alice, others = await account_with(db, "1"), await account_with(db, "1000")
        elsewhere = hold_of(alice, "1")
        await post(db, [elsewhere])
    async with running_writer(database_url) as writer, asyncio.TaskGroup() as group:
        busy = group.create_task(hold_and_release(writer, others))
        first = group.create_task(writer.hold(hold_of(alice, "0.6")))
        await stands_in_line(writer, 1)
        second = group.create_task(writer.hold(hold_of(alice, "0.4")))
        await stands_in_line(writer, 2)
        async with committing(database_url) as db:
            await post(db, [Release(elsewhere)])
        assert (await first, await second) == (Admitted(), Admitted())
        busy.cancel()


async def hold_and_release(writer: Writer, organization_id: UUID) -> None:
    """Other people's calls, one after the other, until cancelled."""
    while True:
        hold = hold_of(organization_id, "0.001")
        await writer.hold(hold)
        await writer.release(Release(hold))


async def stands_in_line(writer: Writer, count: int) -> None:
    """Wait until so many do."""
    async with asyncio.timeout(10):
        while writer.in_line < count:
            await asyncio.sleep(POLL_S)
