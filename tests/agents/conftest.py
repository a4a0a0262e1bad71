from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.house import House, opened
from agents.local import sample_repository
from agents.shop import Shop
from pouch.base.database import Database


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with Database(database_url) as database:
        yield await opened(database)


@pytest.fixture
async def shop(house: House, tmp_path: Path) -> Shop:
    return Shop(house, tmp_path, await sample_repository(tmp_path / "sample"))
