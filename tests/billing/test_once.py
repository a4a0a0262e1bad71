"""One intention, one effect: whatever is sent twice, at the same time, or by a program that crashed in between."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.database import Connection, Database
from pouch.base.errors import InvalidInput, Unavailable
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.billing.once import Answer, Once, forget_old_requests
from pouch.ledger import accounts
from pouch.ledger.grants import grant
from pouch.settings import Settings
from pouch.web.pages import Web

pytestmark = pytest.mark.anyio

ALICE, CAROL = new_id(), new_id()


class Desk:
    """Two addresses that give a dollar each time they act: one in one commit, one across a network of the test's."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.once = Once(database)
        self.acts = 0
        self.ids: set[UUID] = set()
        self.trouble: Exception | None = None
        self.more: dict[str, object] = {}
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        web = Web(settings=Settings(config=""))
        routes = [
            Route("/api/local", self.local, methods=["POST"]),
            Route("/api/network", self.network, methods=["POST"]),
        ]
        self.app = Starlette(routes=routes, exception_handlers=web.exception_handlers())

    async def local(self, request: Request) -> Response:
        async def act(db: Connection) -> Answer:
            self.acts += 1
            await self._give(db, whose(request), new_id())
            await self.goes_on.wait()
            if self.trouble:
                raise self.trouble
            return Answer({"act": self.acts, **self.more}, 201)

        return await self.once.in_one_commit(request, whose(request), act)

    async def network(self, request: Request) -> Response:
        async def act(request_id: UUID) -> Answer:
            self.acts += 1
            self.ids.add(request_id)
            async with self.database.transaction() as db:
                await self._give(db, whose(request), request_id)
            await self.goes_on.wait()
            if self.trouble:
                raise self.trouble
            return Answer({"act": self.acts}, 201)

        return await self.once.across_the_network(request, whose(request), act)

    async def _give(self, db: Connection, whose_: UUID, key: UUID) -> None:
        await grant(db, whose_, Money.parse("1"), key=str(key), note="")

    async def has(self, whose_: UUID) -> str:
        async with self.database.transaction() as db:
            return (await accounts.balance(db, whose_)).posted.decimal()[:-10]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://pouch") as client:
            yield client

    async def post(
        self, path: str = "local", key: str | None = "one", *, who: UUID = ALICE, body: str = "{}"
    ) -> httpx.Response:
        headers = {"idempotency-key": key} if key is not None else {}
        async with self.client() as client:
            return await client.post(f"/api/{path}?who={who}", content=body, headers=headers)


def whose(request: Request) -> UUID:
    return UUID(request.query_params["who"])


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with Database(database_url, size_max=20) as database:
        async with database.transaction() as db:
            await accounts.open_account(db, ALICE)
            await accounts.open_account(db, CAROL)
        yield Desk(database)


@pytest.mark.parametrize("path", ["local", "network"])
async def test_the_same_key_is_answered_as_the_first_time(desk: Desk, path: str) -> None:
    first = await desk.post(path, body='{"a": 1, "b": [2]}')
    again = await desk.post(path, body='{ "b":[2],"a":1 }')
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json() == {"act": 1}
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert (desk.acts, await desk.has(ALICE)) == (1, "1")


@pytest.mark.parametrize("path", ["local", "network"])
async def test_the_same_key_with_other_content_is_refused(desk: Desk, path: str) -> None:
    await desk.post(path, body='{"amount_usd": "10"}')
    refused = await desk.post(path, body='{"amount_usd": "100"}')
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    elsewhere = await desk.post({"local": "network", "network": "local"}[path], body='{"amount_usd": "10"}')
    assert elsewhere.status_code == 422
    assert (desk.acts, await desk.has(ALICE)) == (1, "1")


@pytest.mark.parametrize("path", ["local", "network"])
async def test_of_fifty_at_once_one_acts_and_the_others_are_told_to_wait(desk: Desk, path: str) -> None:
    answers = await asyncio.gather(*(desk.post(path) for _ in range(50)))
    counts = Counter(answer.status_code for answer in answers)
    assert set(counts) <= {201, 409}
    assert counts[201] >= 1
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 409)
    assert all(answer.json()["code"] == "under_way" for answer in answers if answer.status_code == 409)
    assert (desk.acts, await desk.has(ALICE)) == (1, "1")


async def test_while_the_first_acts_in_its_commit_the_same_key_waits(desk: Desk) -> None:
    desk.goes_on.clear()
    first = asyncio.create_task(desk.post())
    while not desk.acts:
        await asyncio.sleep(0)
    try:
        async with asyncio.timeout(15):
            waits = await desk.post()
    finally:
        desk.goes_on.set()
        answered = await first
    assert (waits.status_code, waits.headers["retry-after"]) == (409, "1")
    assert (answered.status_code, desk.acts, await desk.has(ALICE)) == (201, 1, "1")


async def test_while_the_network_is_asked_the_same_key_waits(desk: Desk) -> None:
    desk.goes_on.clear()
    first = asyncio.create_task(desk.post("network"))
    while not desk.acts:
        await asyncio.sleep(0)
    async with asyncio.timeout(20):
        waits = await desk.post("network")
    assert (waits.status_code, waits.headers["retry-after"]) == (409, "1")
    desk.goes_on.set()
    assert (await first).json() == (await desk.post("network")).json() == {"act": 1}


@pytest.mark.parametrize("path", ["local", "network"])
async def test_a_key_belongs_to_one_organization(desk: Desk, path: str) -> None:
    """Carol's key of the same name is another one, and tells her nothing of Alice's."""
    await desk.post(path, body='{"a": 1}')
    carols = await desk.post(path, who=CAROL, body='{"b": 2}')
    assert carols.json() == {"act": 2}
    assert (await desk.has(ALICE), await desk.has(CAROL)) == ("1", "1")


@pytest.mark.parametrize("trouble", [InvalidInput("No."), Unavailable("Later."), RuntimeError("broken")])
async def test_what_was_refused_changed_nothing_and_may_come_again(desk: Desk, trouble: Exception) -> None:
    desk.trouble = trouble
    refused = await desk.post()
    assert refused.status_code >= 400
    assert await desk.has(ALICE) == "0"
    desk.trouble = None
    assert (await desk.post()).status_code == 201
    assert await desk.has(ALICE) == "1"


async def test_what_was_done_is_undone_when_its_answer_cannot_be_kept(desk: Desk) -> None:
    """Else the same request would do it again."""
    desk.more = {"answer": object()}
    assert (await desk.post()).status_code == 500
    assert await desk.has(ALICE) == "0"


async def test_what_the_network_refused_may_come_again_as_the_same_request(desk: Desk) -> None:
    desk.trouble = InvalidInput("No.")
    assert (await desk.post("network")).status_code == 400
    desk.trouble = None
    assert (await desk.post("network")).status_code == 201
    assert (desk.acts, len(desk.ids), await desk.has(ALICE)) == (2, 1, "1")


async def test_a_process_that_died_is_followed_by_one_that_acts_under_the_same_id(desk: Desk) -> None:
    """Its lease keeps others away at first; what it did carries the request's id, so it is not done twice."""
    desk.goes_on.clear()
    dying = asyncio.create_task(desk.post("network"))
    while not desk.acts:
        await asyncio.sleep(0)
    dying.cancel()
    await asyncio.wait([dying])
    desk.goes_on.set()
    assert (await desk.post("network")).status_code == 409
    await change(desk, "UPDATE billing_requests SET lease_until = now() - interval '1 second'")
    assert (await desk.post("network")).status_code == 201
    assert (desk.acts, len(desk.ids), await desk.has(ALICE)) == (2, 1, "1")


async def test_an_answer_that_comes_after_its_lease_does_not_replace_the_newer_one(desk: Desk) -> None:
    desk.goes_on.clear()
    late = asyncio.create_task(desk.post("network"))
    while not desk.acts:
        await asyncio.sleep(0)
    await change(desk, "UPDATE billing_requests SET lease_until = now() - interval '1 second'")
    newer = asyncio.create_task(desk.post("network"))
    while desk.acts < 2:
        await asyncio.sleep(0)
    desk.trouble = InvalidInput("No.")
    desk.goes_on.set()
    await asyncio.wait([late, newer])
    assert await count(desk) == 0
    assert await desk.has(ALICE) == "1"


@pytest.mark.parametrize("path", ["local", "network"])
async def test_after_a_day_a_key_acts_anew(desk: Desk, path: str) -> None:
    await desk.post(path)
    await change(desk, "UPDATE billing_requests SET created_at = now() - interval '23 hours 59 minutes'")
    async with desk.database.transaction() as db:
        await forget_old_requests(db)
    assert (await desk.post(path)).headers["idempotent-replayed"] == "true"
    await change(desk, "UPDATE billing_requests SET created_at = now() - interval '25 hours'")
    assert (await desk.post(path, body='{"other": 1}')).json() == {"act": 2}
    await change(desk, "UPDATE billing_requests SET created_at = now() - interval '25 hours'")
    async with desk.database.transaction() as db:
        await forget_old_requests(db)
    assert await count(desk) == 0


@pytest.mark.parametrize("key", [None, "", " ", "a b", "é", "x" * 256])
async def test_without_a_usable_key_nothing_is_done(desk: Desk, key: str | None) -> None:
    headers = {b"idempotency-key": key.encode("latin-1")} if key is not None else {}
    async with desk.client() as client:
        refused = await client.post(f"/api/local?who={ALICE}", headers=headers)
    assert (refused.status_code, refused.json()["field"]) == (400, "Idempotency-Key")
    assert desk.acts == 0


async def change(desk: Desk, statement: str) -> None:
    async with desk.database.transaction() as db:
        await db.execute(statement.encode())


async def count(desk: Desk) -> int:
    async with desk.database.transaction() as db:
        rows = await db.execute("SELECT count(*) FROM billing_requests")
        row = await rows.fetchone()
    assert row is not None
    return int(row[0])
