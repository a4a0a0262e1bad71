"""The catalog's tables: rows in, rows out. Prices are only ever added."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal, TypedDict
from uuid import UUID

from psycopg.types.json import Jsonb

from pouch.base.database import Connection
from pouch.base.ids import new_id
from pouch.catalog.types import NanosPerMillion, Price, Tier
from pouch.settings import Dialect, PriceClass

Fingerprint = tuple[int, datetime | None]


@dataclass(frozen=True, slots=True)
class UpstreamRow:
    """An upstream as stored. `base_url` is None for the test models' own, whose address each `serve` knows itself."""

    id: str
    kind: Literal["openai", "test"]
    base_url: str | None
    api_key_env: str | None
    dialect: Dialect = "as_is"


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model as stored, without its price. `tags` never says "free": the price does."""

    id: str
    upstream_id: str
    upstream_model: str
    name: str
    description: str
    owned_by: str
    context_window: int
    max_tokens: int
    position: int
    is_test: bool
    tags: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()
    advice: str = "{}"
    """JSON, as the list shows it."""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model on sale: its row, when it was first listed, its upstream and its price in force (None: free)."""

    row: ModelRow
    created_at: datetime
    upstream: UpstreamRow
    price: Price | None


async def fingerprint(db: Connection) -> Fingerprint:
    """What differs whenever the catalog does: the last version, and when the latest price came into force."""
    found = await db.execute(
        """
        SELECT (SELECT coalesce(max(id), 0) FROM catalog_versions),
               (SELECT max(effective_at) FROM catalog_prices WHERE effective_at <= clock_timestamp())
        """
    )
    version, latest = await found.fetchone() or (0, None)
    return version, latest


async def listed_models(db: Connection) -> list[ListedModel]:
    """Every model on sale in the file's order. One without any price in force is not on sale."""
    found = await db.execute(
        """
        SELECT m.id, m.upstream_id, m.upstream_model, m.name, m.description, m.owned_by, m.context_window,
               m.max_tokens, m.position, m.is_test, m.tags, m.drops, m.advice, m.created_at,
               u.id, u.kind, u.base_url, u.api_key_env, u.dialect,
               p.id, p.nanos_per_mtok, p.effective_at, p.tiers
          FROM catalog_models m
          JOIN catalog_upstreams u ON u.id = m.upstream_id
         CROSS JOIN LATERAL (
               SELECT * FROM catalog_prices
                WHERE model_id = m.id AND effective_at <= clock_timestamp()
                ORDER BY effective_at DESC LIMIT 1
               ) p
         WHERE m.retired_at IS NULL
         ORDER BY m.is_test, m.position, m.id
        """
    )
    return [
        ListedModel(
            row=replace(ModelRow(*row[:10]), tags=tuple(row[10]), drops=tuple(row[11]), advice=row[12]),
            created_at=row[13],
            upstream=UpstreamRow(*row[14:19]),
            price=_price(*row[19:23]),
        )
        async for row in found
    ]


async def listed_upstreams(db: Connection) -> list[UpstreamRow]:
    """Every upstream in use."""
    found = await db.execute(
        "SELECT id, kind, base_url, api_key_env, dialect FROM catalog_upstreams WHERE retired_at IS NULL ORDER BY id"
    )
    return [UpstreamRow(*row) async for row in found]


async def latest_prices(db: Connection) -> dict[str, Price | None]:
    """The newest price of every model that was ever listed, retired ones too; None: free."""
    found = await db.execute(
        """
        SELECT DISTINCT ON (model_id) model_id, id, nanos_per_mtok, effective_at, tiers
          FROM catalog_prices ORDER BY model_id, effective_at DESC
        """
    )
    return {row[0]: _price(*row[1:]) async for row in found}


async def find_price(db: Connection, price_id: UUID) -> Price | None:
    """The price that billed a call, however long ago."""
    found = await db.execute(
        "SELECT id, nanos_per_mtok, effective_at, tiers FROM catalog_prices WHERE id = %s", (price_id,)
    )
    row = await found.fetchone()
    return _price(*row) if row else None


async def price_history(db: Connection, model_id: str) -> list[tuple[datetime, Price | None]]:
    """From when on a model cost what, newest first; None: free from then on."""
    found = await db.execute(
        """
        SELECT id, nanos_per_mtok, effective_at, tiers FROM catalog_prices
         WHERE model_id = %s ORDER BY effective_at DESC
        """,
        (model_id,),
    )
    return [(row[2], _price(*row)) async for row in found]


async def save_upstream(db: Connection, row: UpstreamRow) -> None:
    """Add an upstream, or bring it to this; one that was retired is in use again."""
    await db.execute(
        """
        INSERT INTO catalog_upstreams (id, kind, base_url, api_key_env, dialect) VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (id) DO UPDATE
           SET kind = excluded.kind, base_url = excluded.base_url, api_key_env = excluded.api_key_env,
               dialect = excluded.dialect, retired_at = NULL
        """,
        (row.id, row.kind, row.base_url, row.api_key_env, row.dialect),
    )


async def save_model(db: Connection, row: ModelRow) -> None:
    """Add a model, or bring it to this; one that was retired is on sale again."""
    await db.execute(
        """
        INSERT INTO catalog_models (id, upstream_id, upstream_model, name, description, owned_by, context_window,
                                    max_tokens, tags, position, is_test, drops, advice)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (id) DO UPDATE
           SET upstream_id = excluded.upstream_id, upstream_model = excluded.upstream_model, name = excluded.name,
               description = excluded.description, owned_by = excluded.owned_by,
               context_window = excluded.context_window, max_tokens = excluded.max_tokens, tags = excluded.tags,
               position = excluded.position, is_test = excluded.is_test, drops = excluded.drops,
               advice = excluded.advice, retired_at = NULL
        """,
        (
            row.id,
            row.upstream_id,
            row.upstream_model,
            row.name,
            row.description,
            row.owned_by,
            row.context_window,
            row.max_tokens,
            list(row.tags),
            row.position,
            row.is_test,
            list(row.drops),
            row.advice,
        ),
    )


async def add_price(
    db: Connection, model_id: str, nanos_per_mtok: NanosPerMillion | None, tiers: Sequence[Tier] = ()
) -> None:
    """Date a new price from now on; None makes the model free. Always later than the model's last one."""
    await db.execute(
        """
        INSERT INTO catalog_prices (id, model_id, effective_at, nanos_per_mtok, tiers)
        SELECT %(id)s, %(model)s,
               greatest(clock_timestamp(), max(effective_at) + interval '1 microsecond'), %(classes)s, %(tiers)s
          FROM catalog_prices WHERE model_id = %(model)s
        """,
        {
            "id": new_id(),
            "model": model_id,
            "classes": None if nanos_per_mtok is None else Jsonb(dict(nanos_per_mtok)),
            "tiers": Jsonb(
                [{"above_tokens": tier.above_tokens, "nanos_per_mtok": dict(tier.nanos_per_mtok)} for tier in tiers]
            ),
        },
    )


async def retire_model(db: Connection, model_id: str) -> None:
    """Take a model off sale. Its row and prices stay, because usage refers to them."""
    await db.execute("UPDATE catalog_models SET retired_at = clock_timestamp() WHERE id = %s", (model_id,))


async def retire_upstream(db: Connection, upstream_id: str) -> None:
    """Mark an upstream as no longer in use."""
    await db.execute("UPDATE catalog_upstreams SET retired_at = clock_timestamp() WHERE id = %s", (upstream_id,))


async def add_version(db: Connection, changes: Sequence[str]) -> None:
    """Let every snapshot notice, and write down what changed."""
    await db.execute("INSERT INTO catalog_versions (changes) VALUES (%s)", (list(changes),))


class _TierJson(TypedDict):
    above_tokens: int
    nanos_per_mtok: dict[PriceClass, int]


def _price(
    price_id: UUID, classes: dict[PriceClass, int] | None, effective_at: datetime, tiers: list[_TierJson]
) -> Price | None:
    if classes is None:
        return None
    return Price(
        id=price_id,
        nanos_per_mtok=MappingProxyType(classes),
        effective_at=effective_at,
        tiers=tuple(Tier(tier["above_tokens"], MappingProxyType(tier["nanos_per_mtok"])) for tier in tiers),
    )
