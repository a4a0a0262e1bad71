"""The catalog in memory: what the gateway and the pages look models up in, kept fresh."""

import asyncio

import orjson
import psycopg
import structlog

from pouch.base.database import Database
from pouch.catalog import store
from pouch.catalog.store import Fingerprint, ListedModel
from pouch.catalog.types import Model, Upstream

POLL_S = 1.0
"""How old the snapshot may be while the database answers."""

log = structlog.get_logger(__name__)


class Catalog:
    """Every model on sale with its price in force.

    Looking up never waits and never sees half an apply: a change replaces the whole snapshot at once. A database that
    does not answer leaves the last one standing. `test_base_url` is where the test models answer; without it they are
    not offered, whatever the tables say.
    """

    def __init__(self, database: Database, *, test_base_url: str | None = None) -> None:
        self._database = database
        self._test_base_url = test_base_url
        self._fingerprint: Fingerprint | None = None
        self._models: tuple[Model, ...] = ()
        self._offered: tuple[Model, ...] = ()
        self._by_id: dict[str, Model] = {}

    @property
    def models(self) -> tuple[Model, ...]:
        """Every model on sale, in the file's order, test models last. A new tuple exactly when something changed."""
        return self._models

    @property
    def offered(self) -> tuple[Model, ...]:
        """Those that people are shown: all but the deprecated ones, which go on working under their names."""
        return self._offered

    def find(self, model_id: str) -> Model | None:
        """The model of that id, if it is on sale."""
        return self._by_id.get(model_id)

    async def load(self) -> None:
        """Read the catalog now if it has changed. Raises what the database raises."""
        async with self._database.transaction() as db:
            # Read before the rows: a change that slips in between makes the next look differ, never the other way.
            fingerprint = await store.fingerprint(db)
            if fingerprint == self._fingerprint:
                return
            listed = await store.listed_models(db)
        models = tuple(model for row in listed if (model := self._model(row)) is not None)
        self._offered = tuple(model for model in models if not model.is_deprecated)
        self._models, self._by_id = models, {model.id: model for model in models}
        self._fingerprint = fingerprint

    async def run(self) -> None:
        """Keep the snapshot fresh until cancelled. Survives any outage of the database."""
        is_stale = False
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.load()
            except (psycopg.Error, OSError) as error:
                if not is_stale:
                    log.warning("catalog_stale", reason=type(error).__name__)
                is_stale = True
            else:
                is_stale = False

    def _model(self, listed: ListedModel) -> Model | None:
        row, upstream = listed.row, listed.upstream
        base_url = self._test_base_url if upstream.kind == "test" else upstream.base_url
        if base_url is None:
            return None
        return Model(
            id=row.id,
            name=row.name,
            description=row.description,
            owned_by=row.owned_by,
            context_window=row.context_window,
            max_tokens=row.max_tokens,
            tags=("free", *row.tags) if listed.price is None else row.tags,
            upstream=Upstream(upstream.id, upstream.kind, base_url, upstream.api_key_env, upstream.dialect),
            upstream_model=row.upstream_model,
            price=listed.price,
            created_at=listed.created_at,
            is_test=row.is_test,
            drops=row.drops,
            advice=orjson.loads(row.advice),
        )
