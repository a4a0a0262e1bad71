from collections.abc import AsyncIterator

import pytest

from support.gateway import Gateway, running_gateway


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    """A gateway where Alice has ten dollars."""
    async with running_gateway(database_url) as gateway:
        yield gateway
