import asyncio
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest
from structlog.testing import capture_logs

from pouch.base.database import Connection, Database
from pouch.catalog.apply import apply
from pouch.catalog.cost import cost_nanos
from pouch.catalog.listing import model_list
from pouch.catalog.snapshot import Catalog
from pouch.catalog.types import Counts
from pouch.settings import File

pytestmark = pytest.mark.anyio

TEST_URL = "http://127.0.0.1:8080/embedded/models/v1"
PAID = """
[[upstreams]]
id = "openai"
base_url = "https://api.example.com/v1"
[[models]]
id = "openai/gpt-5-mini"
upstream = "openai"
upstream_model = "gpt-5-mini"
name = "GPT-5 mini"
context_window = 400000
max_tokens = 128000
price = { input = "0.25", output = "2.00" }
"""


def toml(text: str) -> File:
    return File.model_validate(tomllib.loads(text))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size_max=4) as database:
        yield database


async def apply_text(database: Database, text: str) -> None:
    async with database.transaction() as db:
        await apply(db, toml(text), source="pouch.toml", test_models="add")


@asynccontextmanager
async def running(catalog: Catalog) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(catalog.run())
        yield
        task.cancel()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.02)


async def test_models_are_found_with_price_and_upstream(database: Database) -> None:
    catalog = Catalog(database, test_base_url=TEST_URL)
    assert catalog.find("pouch/paid") is None
    await apply_text(database, PAID)
    await catalog.load()

    mini, paid, free = (catalog.find(name) for name in ("openai/gpt-5-mini", "pouch/paid", "pouch/free"))
    assert mini is not None
    assert mini.upstream.base_url == "https://api.example.com/v1"
    assert not mini.is_test
    assert paid is not None
    assert paid.price is not None
    assert (paid.upstream.kind, paid.upstream.base_url, paid.is_test) == ("test", TEST_URL, True)
    assert cost_nanos(paid.price, Counts(input=3, output=2)) == 7_000
    assert free is not None
    assert (free.is_free, free.tags) == (True, ("free",))
    assert [model.id for model in catalog.models] == ["openai/gpt-5-mini", "pouch/free", "pouch/paid", "pouch/coder"]
    assert catalog.find("no/such") is None


async def test_without_their_server_test_models_are_not_offered(database: Database) -> None:
    """`serve` on another machine, against a database that `up` once used."""
    await apply_text(database, PAID)
    catalog = Catalog(database)
    await catalog.load()
    assert [model.id for model in catalog.models] == ["openai/gpt-5-mini"]


async def test_an_unchanged_catalog_keeps_the_very_same_snapshot(database: Database) -> None:
    await apply_text(database, PAID)
    catalog = Catalog(database)
    await catalog.load()
    before = catalog.models
    await catalog.load()
    assert catalog.models is before


async def test_a_changed_price_reaches_a_running_process(database: Database) -> None:
    """List and bill change together; a call admitted before keeps the price it was admitted with."""
    await apply_text(database, PAID)
    catalog = Catalog(database)
    await catalog.load()
    admitted = catalog.find("openai/gpt-5-mini")
    assert admitted is not None
    async with running(catalog):
        await apply_text(database, PAID.replace('"0.25"', '"0.50"'))
        await until(lambda: catalog.find("openai/gpt-5-mini") != admitted)
    now = catalog.find("openai/gpt-5-mini")
    assert now is not None
    assert cost_nanos(now.price, Counts(input=1_000_000)) == 500_000_000
    assert "0.0000005" in str(model_list(catalog.models))
    assert cost_nanos(admitted.price, Counts(input=1_000_000)) == 250_000_000


async def test_a_price_dated_ahead_comes_into_force_by_itself(database: Database) -> None:
    await apply_text(database, PAID)
    async with database.transaction() as db:
        await add_future_price(db)
    catalog = Catalog(database)
    await catalog.load()
    before = catalog.find("openai/gpt-5-mini")
    assert before is not None
    assert before.price is not None
    assert before.price.nanos_per_mtok["input"] == 250_000_000
    async with running(catalog):
        await until(lambda: catalog.find("openai/gpt-5-mini") != before)


async def add_future_price(db: Connection) -> None:
    await db.execute(
        """
        INSERT INTO catalog_prices (id, model_id, effective_at, nanos_per_mtok)
        VALUES (gen_random_uuid(), 'openai/gpt-5-mini', clock_timestamp() + interval '1.5 seconds',
                '{"input": 1, "output": 1}')
        """
    )


async def test_an_outage_leaves_the_last_snapshot_and_ends_by_itself(database: Database) -> None:
    """While every look fails, models are still found and one warning is written; then the next change arrives."""
    await apply_text(database, PAID)
    catalog = Catalog(database)
    await catalog.load()
    with capture_logs() as logs:
        async with running(catalog):
            async with database.transaction() as db:
                await db.execute("ALTER TABLE catalog_versions RENAME TO gone")
            await until(lambda: bool(logs))
            assert catalog.find("openai/gpt-5-mini") is not None
            async with database.transaction() as db:
                await db.execute("ALTER TABLE gone RENAME TO catalog_versions")
            await apply_text(database, PAID.replace('"0.25"', '"0.50"'))
            await until(lambda: "0.0000005" in str(model_list(catalog.models)))
    assert [entry["event"] for entry in logs] == ["catalog_stale"]


async def test_a_killed_connection_is_replaced(database: Database) -> None:
    await apply_text(database, PAID)
    catalog = Catalog(database)
    async with await psycopg.AsyncConnection.connect(database.url, autocommit=True) as server:
        await server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await catalog.load()
    assert catalog.find("openai/gpt-5-mini") is not None
