import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest
from starlette.applications import Starlette

from pouch.base.database import Database
from pouch.base.ids import show_id
from pouch.base.money import Money
from pouch.billing.api import AccountApi
from pouch.identity.keyring import KeyRing
from pouch.identity.keys import add_key
from pouch.identity.people import add_person
from pouch.identity.types import Key, Person
from pouch.ledger.grants import grant
from pouch.ledger.operations import Capture
from pouch.ledger.posting import post
from pouch.settings import Settings
from pouch.web.pages import Web
from support.ledger import hold_of
from usage.calls import a_call, write

pytestmark = pytest.mark.anyio

PATHS = ("credits", "key", "auth/key", "activity", "generation?id=gen_x")


class Desk:
    """The API, Alice with $10 and Carol with nothing."""

    def __init__(self, database: Database, client: httpx.AsyncClient) -> None:
        self.database = database
        self.client = client
        self.alice: Person
        self.carol: Person

    async def key_of(
        self, person: Person, *, scopes: tuple[str, ...] = ("inference",), limit: str = ""
    ) -> tuple[Key, str]:
        async with self.database.transaction() as db:
            return await add_key(db, person, "laptop", scopes=scopes, limit=Money.parse(limit) if limit else None)

    async def ask(self, path: str, secret: str) -> dict[str, object]:
        answer = await self.client.get(f"/api/v1/{path}", headers={"authorization": f"Bearer {secret}"})
        assert answer.status_code == 200, answer.text
        data: dict[str, object] = json.loads(answer.text, parse_float=Decimal)["data"]
        return data

    async def call(self, person: Person, key: Key, cost: str, *, ended: datetime | None = None) -> str:
        """One charged call with this key; its generation id."""
        async with self.database.transaction() as db:
            hold = hold_of(person.organization_id, cost, key.id)
            await post(db, [hold])
            await post(db, [Capture(hold, hold.amount_nanos)])
            call = a_call(person.organization_id, cost=cost, key_id=key.id, ended=ended or datetime.now(UTC), held=cost)
            object.__setattr__(call, "id", hold.id)
            await write(db, call)
        return show_id("gen", call.id)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with _desk(database_url) as desk:
        yield desk


@asynccontextmanager
async def _desk(database_url: str) -> AsyncIterator[Desk]:
    web = Web(settings=Settings(config=""))
    async with Database(database_url) as database:
        app = Starlette(
            routes=AccountApi(database, KeyRing(database)).routes(), exception_handlers=web.exception_handlers()
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080") as client:
            desk = Desk(database, client)
            async with database.transaction() as db:
                desk.alice = await add_person(db, "alice@harbor.example", None, verified=True)
                desk.carol = await add_person(db, "carol@elsewhere.example", None, verified=True)
                await grant(db, desk.alice.organization_id, Money.parse("10"), key="start", note="")
            yield desk


async def test_credits_are_exact_numbers_and_texts(desk: Desk) -> None:
    key, secret = await desk.key_of(desk.alice)
    await desk.call(desk.alice, key, "0.111174901")
    assert await desk.ask("credits", secret) == {
        "total_credits": Decimal("10.000000000"),
        "total_credits_usd": "10.000000000",
        "total_usage": Decimal("0.111174901"),
        "total_usage_usd": "0.111174901",
        "balance_usd": "9.888825099",
        "held_usd": "0.000000000",
        "available_usd": "9.888825099",
    }


async def test_a_key_knows_its_limit_and_what_it_spent(desk: Desk) -> None:
    key, secret = await desk.key_of(desk.alice, limit="5")
    other, _ = await desk.key_of(desk.alice)
    await desk.call(desk.alice, key, "0.25")
    await desk.call(desk.alice, other, "1.00")
    data = await desk.ask("key", secret)
    assert data["label"] == "laptop"
    assert (data["usage_usd"], data["usage_daily"]) == ("0.250000000", Decimal("0.25"))
    assert (data["limit"], data["limit_remaining_usd"]) == (Decimal(5), "4.750000000")
    assert await desk.ask("auth/key", secret) == data


async def test_a_key_without_a_limit_says_null(desk: Desk) -> None:
    _, secret = await desk.key_of(desk.alice)
    data = await desk.ask("key", secret)
    assert (data["limit"], data["limit_remaining"], data["limit_usd"]) == (None, None, None)


async def test_a_generation_is_found_by_its_own_organization_only(desk: Desk) -> None:
    key, secret = await desk.key_of(desk.alice)
    _, carols = await desk.key_of(desk.carol)
    generation = await desk.call(desk.alice, key, "0.25")
    data = await desk.ask(f"generation?id={generation}", secret)
    assert (data["id"], data["model"], data["total_cost_usd"]) == (generation, "pouch/paid", "0.250000000")
    assert (data["tokens_prompt"], data["tokens_completion"], data["generation_time"]) == (10, 5, 3000)
    refused = await desk.client.get(
        f"/api/v1/generation?id={generation}", headers={"authorization": f"Bearer {carols}"}
    )
    assert refused.status_code == 404
    assert (await desk.ask("credits", carols))["total_usage_usd"] == "0.000000000"


async def test_activity_lists_whole_days(desk: Desk) -> None:
    key, secret = await desk.key_of(desk.alice)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    await desk.call(desk.alice, key, "0.25", ended=yesterday)
    await desk.call(desk.alice, key, "1.00")
    (day,) = [await desk.ask("activity", secret)][0]
    assert isinstance(day, dict)
    assert (day["date"], day["requests"], day["usage_usd"]) == (yesterday.date().isoformat(), 1, "0.250000000")
    assert await desk.ask(f"activity?date={yesterday.date()}", secret) == [day]
    for text in ("x", "2020-01-01", datetime.now(UTC).date().isoformat()):
        answer = await desk.client.get(f"/api/v1/activity?date={text}", headers={"x-api-key": secret})
        assert answer.status_code == 400


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_key_or_with_another_scope_nothing_is_said(desk: Desk, path: str) -> None:
    _, agent = await desk.key_of(desk.alice, scopes=("agents",))
    for headers, status in [
        ({}, 401),
        ({"authorization": "Bearer sk-pouch-nonsense"}, 401),
        ({"authorization": "Basic YWxpY2U6eA=="}, 401),
        ({"authorization": f"Bearer {agent}"}, 403),
    ]:
        answer = await desk.client.get(f"/api/v1/{path}", headers=headers)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


async def test_billing_read_is_enough(desk: Desk) -> None:
    _, secret = await desk.key_of(desk.alice, scopes=("billing:read",))
    assert (await desk.ask("credits", secret))["available_usd"] == "10.000000000"
