import asyncio
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from pouch.base.database import Connection, Database
from pouch.catalog import store
from pouch.catalog.apply import apply, apply_settings
from pouch.catalog.plan import plan, wish_for_test_models
from pouch.catalog.types import Price
from pouch.settings import File, Settings, SettingsError

pytestmark = pytest.mark.anyio

UPSTREAM = """
[[upstreams]]
id = "openai"
base_url = "https://api.example.com/v1/"
api_key_env = "OPENAI_API_KEY"
"""
MINI = """
[[models]]
id = "openai/gpt-5-mini"
upstream = "openai"
upstream_model = "gpt-5-mini"
name = "GPT-5 mini"
description = "Small and quick."
context_window = 400000
max_tokens = 128000
tags = ["vision"]
price = { input = "0.25", output = "2.00", cache_read = "0.025" }
"""


def toml(*parts: str) -> File:
    return File.model_validate(tomllib.loads("\n".join(parts)))


BOTH = toml(UPSTREAM, MINI)


async def price_of(db: Connection, model_id: str) -> Price | None:
    (found,) = [listed for listed in await store.listed_models(db) if listed.row.id == model_id]
    return found.price


async def count(db: Connection, table: str) -> int:
    row = await (await db.execute(f"SELECT count(*) FROM {table}")).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size_max=4) as database:
        yield database


async def test_a_file_becomes_models_with_exact_prices(db: Connection) -> None:
    done = await apply(db, BOTH, source="pouch.toml")
    (listed,) = await store.listed_models(db)
    assert (listed.row.id, listed.row.owned_by, listed.row.tags) == ("openai/gpt-5-mini", "openai", ("vision",))
    assert listed.upstream.base_url == "https://api.example.com/v1"
    assert listed.price is not None
    assert listed.price.nanos_per_mtok == {"input": 250_000_000, "output": 2_000_000_000, "cache_read": 25_000_000}
    assert done.changes == [
        "New upstream openai.",
        "New model openai/gpt-5-mini: input $0.25, output $2, cache_read $0.025.",
    ]


async def test_the_same_file_again_changes_nothing(db: Connection) -> None:
    tables = ("catalog_upstreams", "catalog_models", "catalog_prices", "catalog_versions")
    await apply(db, BOTH, source="pouch.toml", test_models="add")
    before = [await count(db, table) for table in tables], await store.fingerprint(db)
    again = await apply(db, BOTH, source="pouch.toml", test_models="add")
    assert not again.changes
    assert ([await count(db, table) for table in tables], await store.fingerprint(db)) == before


async def test_a_new_price_is_a_new_row_and_the_old_one_stays(db: Connection) -> None:
    """A call billed last week is still explained by last week's price."""
    await apply(db, BOTH, source="pouch.toml")
    old = await price_of(db, "openai/gpt-5-mini")
    assert old is not None
    done = await apply(db, toml(UPSTREAM, MINI.replace("0.25", "0.30")), source="pouch.toml")
    new = await price_of(db, "openai/gpt-5-mini")
    assert new is not None
    assert new.nanos_per_mtok["input"] == 300_000_000
    assert new.effective_at > old.effective_at
    assert await store.find_price(db, old.id) == old
    assert [price for _, price in await store.price_history(db, "openai/gpt-5-mini")] == [new, old]
    was, now = "input $0.25, output $2, cache_read $0.025", "input $0.3, output $2, cache_read $0.025"
    assert done.changes == [f"New price of openai/gpt-5-mini: {now}; until now {was}."]


async def test_the_database_itself_refuses_to_change_a_price(db: Connection) -> None:
    await apply(db, BOTH, source="pouch.toml")
    for statement in ("UPDATE catalog_prices SET effective_at = now()", "DELETE FROM catalog_prices"):
        with pytest.raises(psycopg.errors.RaiseException, match="never changed"):
            async with db.transaction():
                await db.execute(statement)


@pytest.mark.parametrize("slip", ["25.00", "0.0025", "0"])
async def test_a_price_100_times_off_waits_for_confirmation(db: Connection, slip: str) -> None:
    """A slipped decimal point neither robs the customers nor the operator; the rest of the file is applied."""
    await apply(db, BOTH, source="pouch.toml")
    old = await price_of(db, "openai/gpt-5-mini")
    file = toml(UPSTREAM, MINI.replace('"0.25"', f'"{slip}"').replace("Small and", "Tiny and"))

    done = await apply(db, file, source="pouch.toml")
    assert await price_of(db, "openai/gpt-5-mini") == old
    assert done.changes == ["Changed model openai/gpt-5-mini: description."]
    (kept,) = done.unconfirmed
    assert kept.startswith("The price of openai/gpt-5-mini stays input $0.25, output $2")
    assert "pouch catalog apply pouch.toml --confirm" in kept

    done = await apply(db, file, source="pouch.toml", confirm=True)
    new = await price_of(db, "openai/gpt-5-mini")
    assert new is not None
    assert new != old
    assert not done.unconfirmed


async def test_a_price_99_times_off_is_taken(db: Connection) -> None:
    await apply(db, BOTH, source="pouch.toml")
    done = await apply(db, toml(UPSTREAM, MINI.replace('"0.25"', '"24.75"')), source="pouch.toml")
    assert not done.unconfirmed
    price = await price_of(db, "openai/gpt-5-mini")
    assert price is not None
    assert price.nanos_per_mtok["input"] == 24_750_000_000


async def test_a_slip_in_a_tier_waits_too(db: Connection) -> None:
    tier = 'tiers = [{ above_tokens = 200000, price = { input = "0.50" } }]\n'
    await apply(db, toml(UPSTREAM, MINI + tier), source="pouch.toml")
    done = await apply(db, toml(UPSTREAM, MINI + tier.replace("0.50", "50.0")), source="pouch.toml")
    assert len(done.unconfirmed) == 1


async def test_a_model_that_left_the_file_is_retired_and_can_come_back(db: Connection) -> None:
    """Its row and its prices stay, since usage refers to them; the same price needs no new row."""
    await apply(db, BOTH, source="pouch.toml")
    done = await apply(db, toml(), source="pouch.toml")
    assert done.changes == ["Retired model openai/gpt-5-mini.", "Retired upstream openai."]
    assert await store.listed_models(db) == []
    assert await count(db, "catalog_models") == 1

    await apply(db, BOTH, source="pouch.toml")
    assert len(await store.listed_models(db)) == 1
    assert await count(db, "catalog_prices") == 1


async def test_free_and_priced_are_dated_too(db: Connection) -> None:
    free = "\n".join(line for line in MINI.splitlines() if not line.startswith("price")).replace("vision", "free")
    await apply(db, BOTH, source="pouch.toml")
    await apply(db, toml(UPSTREAM, free), source="pouch.toml")
    assert await price_of(db, "openai/gpt-5-mini") is None
    await apply(db, BOTH, source="pouch.toml")
    assert await price_of(db, "openai/gpt-5-mini") is not None
    history = [price is None for _, price in await store.price_history(db, "openai/gpt-5-mini")]
    assert history == [False, True, False]


async def test_a_file_that_cannot_be_used_changes_nothing(db: Connection) -> None:
    await apply(db, BOTH, source="pouch.toml")
    with pytest.raises(SettingsError, match="there is no upstream"):
        await apply(db, toml(MINI), source="pouch.toml")
    assert len(await store.listed_models(db)) == 1


async def test_planning_changes_nothing(db: Connection) -> None:
    planned = await plan(db, BOTH, source="pouch.toml", test_models="add")
    assert len(planned.models) == 4
    assert await store.listed_models(db) == []


async def test_two_applies_at_once_take_turns(database: Database) -> None:
    """Two machines start a new version together: one writes, the other finds nothing to do."""

    async def start() -> int:
        async with database.transaction() as db:
            return len((await apply(db, BOTH, source="pouch.toml", test_models="add")).changes)

    changes = await asyncio.gather(*(start() for _ in range(4)))
    assert sorted(changes)[:3] == [0, 0, 0]
    async with database.transaction() as db:
        assert await count(db, "catalog_prices") == 4
        assert await count(db, "catalog_versions") == 1


async def test_test_models_are_added_kept_and_removed(db: Connection) -> None:
    await apply(db, toml(), source="pouch.toml", test_models="add")
    assert [listed.row.id for listed in await store.listed_models(db)] == ["pouch/free", "pouch/paid", "pouch/coder"]
    await apply(db, BOTH, source="pouch.toml", test_models="keep")
    assert len(await store.listed_models(db)) == 4
    await apply(db, BOTH, source="pouch.toml", test_models="remove")
    assert [listed.row.id for listed in await store.listed_models(db)] == ["openai/gpt-5-mini"]


@pytest.mark.parametrize(
    ("written", "is_up", "expected"),
    [
        ("", True, "add"),
        ("", False, "keep"),
        (UPSTREAM, True, "remove"),
        (UPSTREAM, False, "remove"),
        ("[embedded]\nmodels = true\n" + UPSTREAM, True, "add"),
        ("[embedded]\nmodels = false\n", True, "remove"),
    ],
)
def test_only_up_adds_test_models_and_only_when_they_are_wanted(written: str, is_up: bool, expected: str) -> None:
    assert wish_for_test_models(toml(written), is_up=is_up) == expected


async def test_the_configured_file_is_applied(db: Connection, tmp_path: Path) -> None:
    path = tmp_path / "pouch.toml"
    path.write_text(UPSTREAM + MINI)
    await apply_settings(db, Settings(config=str(path), under_up="ends.json"))
    assert [listed.row.id for listed in await store.listed_models(db)] == ["openai/gpt-5-mini"]
