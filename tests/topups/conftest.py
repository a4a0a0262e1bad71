"""Tills, on one database for all these tests."""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from topups.till import OpenTill, Till, till_on


@pytest.fixture(scope="session")
def topups_database(postgres_url: str, template_database: str) -> Iterator[str]:
    name = f"pouch_topups_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" STRATEGY file_copy')
        yield make_conninfo(postgres_url, dbname=name)
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def database_url(topups_database: str) -> str:
    """That database without the last test's rows. The ledger keeps its own; each test has its own organization."""
    with psycopg.connect(topups_database, autocommit=True) as db:
        rows = db.execute(
            """
            SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables
             WHERE schemaname = 'public'
               AND tablename ~ '^(payment|cards|mail|procrastinate|topup)_|^ledger_(thresholds|crossings)$'
            """
        ).fetchone()
        assert rows is not None
        db.execute(f"TRUNCATE {rows[0]} CASCADE")
    return topups_database


@pytest.fixture
def open_till(database_url: str) -> OpenTill:
    """Opens a till when the test says how its processor behaves."""
    return partial(till_on, database_url)


@pytest.fixture
async def till(open_till: OpenTill) -> AsyncIterator[Till]:
    async with open_till() as opened:
        yield opened
