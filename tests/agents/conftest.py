from collections.abc import AsyncIterator

import pytest

from agents.house import House, opened
from pouch.base.database import Database


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with Database(database_url) as database:
        yield await opened(database)
