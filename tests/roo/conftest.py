"""A whole Pouch in this process, on a database of its own, and people who are signed in on its pages."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import httpx
import psycopg
import pytest

from conftest import at_database
from gateway.test_provider import client as every_field
from roo.extension import Browser, Extension
from routes.stage import Somebody, Stage, opened

__all__ = ["every_field"]


@pytest.fixture(scope="module")
def stage_database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    name = f"pouch_roo_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" STRATEGY file_copy')
        yield at_database(postgres_url, name)
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
async def stage(stage_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with opened(stage_database_url, tmp_path_factory.mktemp("data")) as stage:
        yield stage


@pytest.fixture
async def http(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    """A program without cookies, at a network address of its own."""
    async with stage.client() as client:
        client.headers.clear()
        yield client


@pytest.fixture
async def alice(stage: Stage) -> Somebody:
    return await stage.somebody()


@pytest.fixture
async def browser(stage: Stage, alice: Somebody) -> AsyncIterator[Browser]:
    """Alice's browser."""
    async with stage.client() as client:
        yield Browser(client, stage, alice)


@pytest.fixture
def extension(http: httpx.AsyncClient) -> Extension:
    return Extension(http)
