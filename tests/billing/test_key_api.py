"""/api/v1/keys: a program makes, reads, changes and revokes the keys of its own organization."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from pouch.base.database import Database
from pouch.base.ids import read_id, show_id
from pouch.base.money import Money
from pouch.billing.key_api import KeyApi
from pouch.identity.keyring import KeyRing
from pouch.identity.keys import add_key, hash_secret
from pouch.identity.people import add_person
from pouch.identity.run_keys import add_run_key
from pouch.identity.types import Person
from pouch.ledger.blocks import is_blocked
from pouch.ledger.grants import grant
from pouch.ledger.limits import limits_of
from pouch.ledger.operations import Capture
from pouch.ledger.posting import post
from pouch.settings import Settings
from pouch.web.pages import Web
from support.ledger import hold_of

pytestmark = pytest.mark.anyio

# What OpenRouter's clients need of every key.
FIELDS = {
    "hash", "name", "label", "disabled", "limit", "limit_remaining", "limit_reset", "include_byok_in_limit", "usage",
    "created_at", "updated_at", "expires_at", "creator_user_id",
}  # fmt: skip


class Desk:
    """The API, and Alice's and Carol's keys that manage keys."""

    def __init__(self, database: Database, client: httpx.AsyncClient, ring: KeyRing, alice: Person) -> None:
        self.database, self.client, self.ring, self.alice = database, client, ring, alice
        self.secret = ""

    async def ask(self, method: str, path: str = "", body: Any = None, secret: str | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {secret or self.secret}"}
        return await self.client.request(method, f"/api/v1/keys{path}", json=body, headers=headers)

    async def make(self, **body: Any) -> tuple[dict[str, Any], str]:
        answer = await self.ask("POST", body={"name": "Build server"} | body)
        assert answer.status_code == 201, answer.text
        document = json.loads(answer.text, parse_float=Decimal)
        return document["data"], document["key"]

    async def key_of(self, person: Person, *scopes: str) -> str:
        async with self.database.transaction() as db:
            return (await add_key(db, person, "manager", scopes=scopes))[1]

    async def spend(self, shown_id: str, usd: str) -> None:
        key_id = read_id("key", shown_id)
        assert key_id is not None
        async with self.database.transaction() as db:
            hold = hold_of(self.alice.organization_id, usd, key_id)
            await post(db, [hold])
            await post(db, [Capture(hold, hold.amount_nanos)])


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with Database(database_url) as database:
        async with database.transaction() as db:
            alice = await add_person(db, "alice@example.com", None, verified=True)
            await grant(db, alice.organization_id, Money.parse("10"), key="start", note="")
        ring = KeyRing(database)
        web = Web(settings=Settings(config=""))
        app = Starlette(routes=KeyApi(database, ring).routes(), exception_handlers=web.exception_handlers())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://pouch.example") as client:
            desk = Desk(database, client, ring, alice)
            desk.secret = await desk.key_of(alice, "inference", "keys")
            yield desk


async def test_a_key_is_made_listed_read_and_revoked(desk: Desk) -> None:
    made, secret = await desk.make(limit=12.5, limit_reset="monthly", include_byok_in_limit=True)
    assert made.keys() >= FIELDS
    assert (made["limit"], made["limit_usd"], made["limit_reset"]) == (Decimal("12.5"), "12.500000000", "monthly")
    assert (made["usage"], made["disabled"], made["scopes"]) == (0, False, ["inference"])
    caller = await desk.ring.caller(secret)
    assert caller is not None
    assert caller.organization_id == desk.alice.organization_id
    assert caller.scopes == {"inference"}
    listed = (await desk.ask("GET")).json()["data"]
    assert [key["name"] for key in listed] == ["Build server", "manager"]
    assert listed[0].keys() >= FIELDS
    shown = (await desk.ask("GET", f"/{made['hash']}")).json()["data"]
    assert {"usage_daily", "usage_weekly", "usage_monthly"} | FIELDS <= shown.keys()
    assert (await desk.ask("DELETE", f"/{made['hash']}")).json() == {"deleted": True}
    assert await desk.ring.caller(secret) is None
    assert (await desk.ask("GET", f"/{made['hash']}")).status_code == 404
    assert (await desk.ask("PATCH", f"/{made['hash']}", {"disabled": False})).status_code == 404


async def test_a_key_that_is_switched_off_stops_at_once_and_can_come_back(desk: Desk) -> None:
    made, secret = await desk.make()
    key_id = read_id("key", made["hash"])
    assert key_id is not None
    assert await desk.ring.caller(secret) is not None
    off = await desk.ask("PATCH", f"/{made['hash']}", {"disabled": True})
    assert off.json()["data"]["disabled"] is True
    assert await desk.ring.caller(secret) is None
    async with desk.database.transaction() as db:
        assert await is_blocked(db, key_id)
    assert [key["name"] for key in (await desk.ask("GET")).json()["data"]] == ["manager"]
    assert len((await desk.ask("GET", "?include_disabled=true")).json()["data"]) == 2
    on = await desk.ask("PATCH", f"/{made['hash']}", {"disabled": False, "name": "Laptop"})
    assert (on.json()["data"]["disabled"], on.json()["data"]["name"]) == (False, "Laptop")
    assert await desk.ring.caller(secret) is not None
    async with desk.database.transaction() as db:
        assert not await is_blocked(db, key_id)


async def test_another_process_hears_that_a_key_was_switched_off(desk: Desk) -> None:
    made, secret = await desk.make()
    other = KeyRing(desk.database)
    assert await other.caller(secret) is not None
    await desk.ask("PATCH", f"/{made['hash']}", {"disabled": True})
    await other.tick()
    assert await other.caller(secret) is None


async def test_what_was_spent_of_a_limit_stays_spent_when_it_is_raised(desk: Desk) -> None:
    made, _ = await desk.make(limit="2", limit_reset="daily")
    path = f"/{made['hash']}"
    await desk.spend(made["hash"], "1.5")
    raised = (await desk.ask("PATCH", path, {"limit": 5})).json()["data"]
    assert (raised["limit_usd"], raised["limit_remaining_usd"]) == ("5.000000000", "3.500000000")
    assert raised["limit_reset"] == "daily"
    weekly = (await desk.ask("PATCH", path, {"limit_reset": "weekly"})).json()["data"]
    assert (weekly["limit_usd"], weekly["limit_reset"]) == ("5.000000000", "weekly")
    named = (await desk.ask("PATCH", path, {"name": "Laptop"})).json()["data"]
    assert (named["limit_usd"], named["limit_reset"], named["name"]) == ("5.000000000", "weekly", "Laptop")
    free = (await desk.ask("PATCH", path, {"limit": None})).json()["data"]
    assert (free["limit"], free["limit_reset"]) == (None, None)
    key_id = read_id("key", made["hash"])
    assert key_id is not None
    async with desk.database.transaction() as db:
        assert await limits_of(db, [key_id]) == {}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({}, "name"),
        ({"name": "x", "limit": 0}, "limit"),
        ({"name": "x", "limit": -1}, "limit"),
        ({"name": "x", "limit": True}, "limit"),
        ({"name": "x", "limit": "ten"}, "limit"),
        ({"name": "x", "limit": 0.12345678901}, "limit"),
        ({"name": "x", "limit": 12345678.123456789}, "limit"),
        ({"name": "x", "limit_reset": "hourly"}, "limit_reset"),
        ({"name": "x", "expires_at": "soon"}, "expires_at"),
        ({"name": "x", "expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "expires_at": "2999-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "scopes": []}, "scope"),
        ({"name": "x", "unknown": 1}, "unknown"),
    ],
)
async def test_what_a_key_cannot_be_is_refused_at_its_field(desk: Desk, body: dict[str, Any], field: str) -> None:
    answer = await desk.ask("POST", body=body)
    assert answer.status_code == 400
    assert answer.json()["field"].split(".")[0] == field
    assert len((await desk.ask("GET")).json()["data"]) == 1


async def test_a_key_makes_none_that_may_do_more(desk: Desk) -> None:
    beyond = await desk.ask("POST", body={"name": "x", "scopes": ["inference", "billing:write"]})
    assert beyond.status_code == 403
    only_keys = await desk.key_of(desk.alice, "keys")
    made = await desk.ask("POST", body={"name": "x"}, secret=only_keys)
    assert made.json()["data"]["scopes"] == ["inference"]


async def test_other_keys_may_not_look_and_other_organizations_see_nothing(desk: Desk) -> None:
    made, secret = await desk.make()
    assert (await desk.ask("GET", secret=secret)).status_code == 403
    assert (await desk.ask("GET", secret="sk-pouch-wrong")).status_code == 401
    async with desk.database.transaction() as db:
        carol = await add_person(db, "carol@example.com", None, verified=True)
    hers = await desk.key_of(carol, "keys")
    for method, body in (("GET", None), ("PATCH", {"disabled": True}), ("DELETE", None)):
        assert (await desk.ask(method, f"/{made['hash']}", body, secret=hers)).status_code == 404
    assert [key["name"] for key in (await desk.ask("GET", secret=hers)).json()["data"]] == ["manager"]
    assert await desk.ring.caller(secret) is not None


async def test_the_keys_of_runs_are_not_touched(desk: Desk) -> None:
    """Else whoever manages keys could let a run go on that was stopped."""
    organization_id, person_id = desk.alice.organization_id, desk.alice.id
    async with desk.database.transaction() as db:
        key_id, _ = await add_run_key(
            db, organization_id, person_id=person_id, name="run", counts_for=[organization_id], model_ids=["m"]
        )

    answer = await desk.ask("PATCH", f"/{show_id('key', key_id)}", {"disabled": False})
    assert answer.status_code == 404
    assert len((await desk.ask("GET")).json()["data"]) == 1


async def test_a_key_ends_by_itself(desk: Desk) -> None:
    ends = datetime.now(UTC) + timedelta(days=30)
    made, secret = await desk.make(expires_at=ends.isoformat())
    assert datetime.fromisoformat(made["expires_at"]) == ends
    assert await desk.ring.caller(secret) is not None
    async with desk.database.transaction() as db:
        await db.execute("UPDATE identity_keys SET expires_at = now() WHERE expires_at IS NOT NULL")
    assert await KeyRing(desk.database).caller(secret) is None


async def test_a_remembered_key_is_forgotten_when_it_ends(desk: Desk) -> None:
    """Though nobody revokes it, and the answers of a ring are kept for ten seconds."""
    at = 100.0
    ring = KeyRing(desk.database, clock=lambda: at)
    _, secret = await desk.make(expires_at=(datetime.now(UTC) + timedelta(seconds=2)).isoformat())
    assert await ring.caller(secret) is not None
    assert ring._remembered(hash_secret(secret)) is not None  # noqa: SLF001 -- what it would answer without looking
    at += 2.1
    assert ring._remembered(hash_secret(secret)) is None  # noqa: SLF001


@pytest.mark.parametrize("query", ["offset=-1", "offset=x", "offset=1.5"])
async def test_an_offset_is_a_number(desk: Desk, query: str) -> None:
    assert (await desk.ask("GET", f"?{query}")).status_code == 400
    assert (await desk.ask("GET", "?offset=1")).json()["data"] == []
