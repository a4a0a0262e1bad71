"""`pouch agent pause`, `resume` and `cap`, as an operator runs them beside a running Pouch."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.house import House, opened
from pouch.base.database import Database
from pouch.base.money import Money

pytestmark = pytest.mark.anyio


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with Database(database_url) as database:
        yield await opened(database)


async def test_a_run_is_paused_resumed_and_allowed_more(house: House, tmp_path: Path) -> None:
    run = await house.start(cap="1")
    words = ("alice@example.com", str(run.number))
    assert await agent(house, tmp_path, "pause", *words) == f"Run {run.number} is paused; asked to pause."
    assert (await house.run(run)).state == "paused"
    assert await agent(house, tmp_path, "resume", *words) == f"Run {run.number} is queued; asked to resume."
    assert "may cost up to $7.5" in await agent(house, tmp_path, "cap", *words, "7.50")
    after = await house.run(run)
    assert (after.state, after.cap) == ("queued", Money.parse("7.50"))


async def agent(house: House, folder: Path, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pouch.cli",
        "agent",
        *words,
        env=os.environ | {"POUCH_DATA_DIR": str(folder), "POUCH_DATABASE_URL": house.database.url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    assert process.returncode == 0, complained.decode()
    return said.decode().strip()
