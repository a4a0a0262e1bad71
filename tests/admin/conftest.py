from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admin.office import Office, opened


@pytest.fixture
async def office(database_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    async with opened(database_url, tmp_path) as office:
        yield office


@pytest.fixture
async def office_of_two(database_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    """Where one operator may give away $100 within 24 hours, and not more alone."""
    async with opened(database_url, tmp_path, toml='[operators]\nalone_usd_per_day = "100"\n') as office:
        yield office
