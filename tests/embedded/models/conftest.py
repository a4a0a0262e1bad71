"""A test model server, and the official client that talks to it."""

from collections.abc import AsyncIterator

import pytest
from openai import AsyncOpenAI

from support.models import MODELS_KEY, serve_models


@pytest.fixture
async def base_url() -> AsyncIterator[str]:
    async with serve_models() as url:
        yield url


@pytest.fixture
async def client(base_url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=base_url, api_key=MODELS_KEY, max_retries=0) as client:
        yield client
