"""Shops for the tests of payments."""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from payments.shop import OpenShop, Shop, shop_on


@pytest.fixture(scope="session")
def payments_database(postgres_url: str, template_database: str) -> Iterator[str]:
    """One database for all these tests, because making a hundred takes longer than all that is done in them."""
    name = f"pouch_payments_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" STRATEGY file_copy')
        yield make_conninfo(postgres_url, dbname=name)
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def database_url(payments_database: str) -> str:
    """That database without the last test's rows. The ledger keeps its own; each test has its own organization."""
    forget_last_test(payments_database)
    return payments_database


def forget_last_test(payments_database: str) -> None:
    """Empty the tables of payments, cards, mail and jobs."""
    with psycopg.connect(payments_database, autocommit=True) as db:
        rows = db.execute(
            """
            SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables
             WHERE schemaname = 'public' AND tablename ~ '^(payment|cards|mail|procrastinate)_'
            """
        ).fetchone()
        assert rows is not None
        db.execute(f"TRUNCATE {rows[0]} CASCADE")


@pytest.fixture
def open_shop(database_url: str) -> OpenShop:
    """Opens a shop when the test says how its processor behaves."""
    return partial(shop_on, database_url)


@pytest.fixture
async def shop(open_shop: OpenShop) -> AsyncIterator[Shop]:
    async with open_shop() as opened:
        yield opened
