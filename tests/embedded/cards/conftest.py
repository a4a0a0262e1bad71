"""One database for all tests of the processor, emptied before each: making one takes longer than most of them run."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

_TABLES = ("deliveries", "events", "sessions", "setups", "charges", "intents", "methods", "customers", "requests")


@pytest.fixture(scope="session")
def cards_database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    name = sql.Identifier(f"pouch_cards_{uuid4().hex[:12]}")
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(template_database)))
        yield make_conninfo(postgres_url, dbname=name.as_string(None).strip('"'))
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def database_url(cards_database_url: str) -> str:
    """The database of these tests, with nothing in the processor's tables."""
    with psycopg.connect(cards_database_url) as db:
        for table in (
            "deliveries",
            "events",
            "sessions",
            "setups",
            "refunds",
            "disputes",
            "warnings",
            "movements",
            "charges",
            "intents",
            "methods",
            "customers",
            "requests",
        ):
            db.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(f"cards_{table}")))
    return cards_database_url
