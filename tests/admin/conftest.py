from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admin.office import Office, opened


@pytest.fixture
async def office(database_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    async with opened(database_url, tmp_path) as office:
        yield office
