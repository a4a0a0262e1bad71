from collections.abc import AsyncIterator, Iterator

import pytest

from agents.house import House
from agents.triggers.street import Street, street
from support.github import FakeGitHub, fake_github


@pytest.fixture(scope="module")
def github() -> Iterator[FakeGitHub]:
    with fake_github() as running:
        yield running


@pytest.fixture
async def outside(house: House, github: FakeGitHub) -> AsyncIterator[Street]:
    found = await street(house, github)
    try:
        yield found
    finally:
        await found.web.aclose()
        await found.app.close()
