"""The model list: for anybody, from anywhere, in the shape that Roo Code insists on."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from pouch.base.database import Database
from pouch.catalog.apply import apply
from pouch.catalog.snapshot import Catalog
from pouch.gateway.provider import PREFIXES, ProviderRoutes
from pouch.settings import File

pytestmark = pytest.mark.anyio

UPSTREAM = {"id": "up", "base_url": "http://127.0.0.1:9/v1"}
MODEL = {"upstream": "up", "upstream_model": "one", "name": "One", "context_window": 1000, "max_tokens": 100}
PAID = MODEL | {
    "id": "a/paid",
    "price": {"input": "3", "output": "15", "cache_read": "0.3", "cache_write_5m": "3.75"},
    "default_temperature": 0.6,
    "settings": {"reasoningEffort": "medium"},
    "versioned_settings": {"3.36.4": {"includedTools": ["apply_patch"]}},
}
FREE = MODEL | {"id": "a/free", "tags": ["free", "reasoning"], "deprecated": True}
FILE = File.model_validate({"upstreams": [UPSTREAM], "models": [PAID, FREE]})


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with Database(database_url) as database:
        async with database.transaction() as db:
            await apply(db, FILE, source="test")
        catalog = Catalog(database)
        await catalog.load()
        transport = httpx.ASGITransport(Starlette(routes=ProviderRoutes(catalog).routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://pouch.example") as client:
            yield client


def ids(answer: httpx.Response) -> list[str]:
    return [entry["id"] for entry in answer.json()["data"]]


@pytest.mark.parametrize("given", [None, "Bearer unauthenticated", "Bearer sk-pouch-wrong", "Basic x", "Bearer a.b.c"])
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_whoever_asks_gets_the_whole_list(client: httpx.AsyncClient, prefix: str, given: str | None) -> None:
    """A signed-out Roo Code sends `Bearer unauthenticated`, its CLI sends nothing; both use paid models afterwards."""
    answer = await client.get(f"{prefix}/models", headers={"authorization": given} if given else {})
    assert (answer.status_code, ids(answer)) == (200, ["a/paid", "a/free"])
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_paid_models_can_be_left_out(client: httpx.AsyncClient) -> None:
    for asked, listed in [("true", ["a/paid", "a/free"]), ("1", ["a/paid", "a/free"]), ("false", ["a/free"])]:
        assert ids(await client.get("/v1/models", params={"include_paid": asked})) == listed
    refused = await client.get("/v1/models", params={"include_paid": "perhaps"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "include_paid")


@pytest.mark.parametrize("path", ["/v1/models", "/proxy/v1/models/a/paid"])
async def test_pages_of_others_may_ask(client: httpx.AsyncClient, path: str) -> None:
    asks = {"origin": "https://roo.example", "access-control-request-headers": "authorization, x-title"}
    answer = await client.options(path, headers=asks | {"access-control-request-method": "GET"})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "GET" in answer.headers["access-control-allow-methods"]
    # Browsers do not take a star for Authorization, which Roo's old page did not send; it need not be named.
    assert answer.headers["access-control-allow-headers"]


REQUIRED: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "object": str,
    "created": int,
    "owned_by": str,
    "name": str,
    "description": str,
    "context_window": int,
    "max_tokens": int,
    "type": str,
    "pricing": dict,
}
OPTIONAL: dict[str, type | tuple[type, ...]] = {
    "tags": list,
    "deprecated": bool,
    "default_temperature": (int, float),
    "settings": dict,
    "versionedSettings": dict,
}


async def test_every_entry_has_the_fields_of_the_contract(client: httpx.AsyncClient) -> None:
    """One field that is missing, null or of another type makes the extension refuse the whole list."""
    document = (await client.get("/v1/models")).json()
    assert document["object"] == "list"
    for entry in document["data"]:
        assert all(type(entry[name]) is kind for name, kind in REQUIRED.items())
        assert all(isinstance(entry[name], kind) for name, kind in OPTIONAL.items() if name in entry)
        assert (entry["object"], entry["type"]) == ("model", "language")
        assert all(isinstance(price, str) and price for price in entry["pricing"].values())
        assert None not in entry.values()
    paid, free = document["data"]
    roos = ("input", "output", "input_cache_read", "input_cache_write")
    assert [paid["pricing"][name] for name in roos] == ["0.000003", "0.000015", "0.0000003", "0.00000375"]
    assert (paid["default_temperature"], paid["versionedSettings"]) == (0.6, PAID["versioned_settings"])
    assert paid["settings"] == PAID["settings"]
    assert paid.keys().isdisjoint({"tags", "deprecated"})
    assert (free["tags"], free["deprecated"]) == (["free", "reasoning"], True)
    assert free.keys().isdisjoint({"default_temperature", "settings", "versionedSettings"})


async def test_one_model_is_found_by_its_name(client: httpx.AsyncClient) -> None:
    listed: dict[str, Any] = (await client.get("/v1/models")).json()["data"][0]
    assert (await client.get("/v1/models/a/paid")).json() == listed
    unknown = await client.get("/v1/models/a/none")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    assert unknown.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_whoever_wants_an_image_is_told_that_there_are_no_models_for_it(
    client: httpx.AsyncClient, prefix: str
) -> None:
    """What Roo Code's tool sends; it shows `error.message`."""
    body = {"model": "bfl/flux-2-pro:free", "prompt": "A boathouse", "n": 1}
    answer = await client.post(f"{prefix}/images/generations", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_image_models")
    assert answer.json()["error"]["message"].startswith("There are no models for images here.")
    assert answer.headers["x-should-retry"] == "false"
