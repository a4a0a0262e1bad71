"""A gateway on a loopback port: real ledger, real catalog, real keys, and an upstream that obeys the test."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import httpx
import uvicorn

from pouch.app.corked import CorkedProtocol
from pouch.app.root import Root
from pouch.base.database import Database
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.catalog.apply import apply
from pouch.catalog.snapshot import Catalog
from pouch.catalog.types import Upstream
from pouch.gateway.chat import ChatCompletions
from pouch.gateway.free import FreeCalls
from pouch.gateway.idempotency import IdempotencyKeys
from pouch.gateway.patience import Patience
from pouch.gateway.task_limits import TaskLimits
from pouch.gateway.upstream import SILENCE_MAX_S, Upstreams
from pouch.identity.keys import add_key
from pouch.identity.people import add_person
from pouch.identity.types import Key, Person
from pouch.ledger.accounts import Balance, balance
from pouch.ledger.check import check
from pouch.ledger.grants import grant
from pouch.ledger.keeper import LeaseKeeper
from pouch.ledger.writer import Writer
from pouch.settings import File, Limits
from pouch.usage.store import newest_calls, write_batch
from pouch.usage.types import Call
from support.callers import callers
from support.plain import TRUSTS_NOBODY
from support.upstream import FakeUpstream, fake_upstream

DEFAULTS = Limits()
PRICES = {"input": "1.00", "output": "2.00"}
DIALECTS = ("openai", "plain")


@dataclass
class Gateway:
    """A running gateway with one person, Alice, and her key."""

    url: str
    client: httpx.AsyncClient
    upstream: FakeUpstream
    database: Database
    chat: ChatCompletions
    writer: Writer
    catalog: Catalog
    alice: Person
    key: Key
    secret: str

    async def call(
        self, *, model: str = "up/paid", headers: dict[str, str] | None = None, **body: Any
    ) -> httpx.Response:
        """Ask for a completion as Alice."""
        body = {"model": model, "messages": [{"role": "user", "content": "Say something"}], "max_tokens": 100} | body
        given = {"authorization": f"Bearer {self.secret}"} | (headers or {})
        return await self.client.post(f"{self.url}/v1/chat/completions", json=body, headers=given)

    async def stream(self, **body: Any) -> tuple[int, list[Any]]:
        """Ask for a stream and read it to its end: status, and the events' data (JSON, or "[DONE]")."""
        answer = await self.call(stream=True, **body)
        return answer.status_code, events_of(answer.content)

    async def newcomer(self, usd: str = "10") -> Self:
        """The same gateway as somebody else uses it, with credits of their own."""
        number = new_id()
        async with self.database.transaction() as db:
            person = await add_person(db, f"{number}@example.com", None, verified=True)
            key, secret = await add_key(db, person, "test")
            if Money.parse(usd):
                await grant(db, person.organization_id, Money.parse(usd), key=f"start {number}", note="")
        return replace(self, alice=person, key=key, secret=secret)

    async def grant(self, usd: str) -> None:
        async with self.database.transaction() as db:
            await grant(db, self.alice.organization_id, Money.parse(usd), key=f"test {usd}", note="")

    async def balance(self) -> Balance:
        async with self.database.transaction() as db:
            return await balance(db, self.alice.organization_id)

    async def calls(self) -> list[Call]:
        async with self.database.transaction() as db:
            return await newest_calls(db, self.alice.organization_id, limit=100)

    async def at_rest(self) -> Balance:
        """The balance once nothing is under way; the books are checked and nothing is held."""
        async with asyncio.timeout(20):
            while self._is_busy() or (await self.balance()).held:
                await asyncio.sleep(0.01)
        async with self.database.transaction() as db:
            assert await check(db) == []
        return await self.balance()

    def _is_busy(self) -> bool:
        return bool(len(self.chat.flights)) or not self.writer.is_at_rest


def events_of(body: bytes) -> list[Any]:
    """The data of a stream's events."""
    lines = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def file_for(upstream_url: str, others: Mapping[str, str] | None = None) -> File:
    """A pouch.toml with one upstream and its models; each of the others has its address and one model, `…/paid`."""

    def model(name: str, **extra: Any) -> dict[str, Any]:
        head = {"id": f"up/{name}", "upstream": "up", "upstream_model": "up", "name": name}
        return head | {"context_window": 100_000, "max_tokens": 4_000, "price": PRICES} | extra

    free = model("free", tags=["free"])
    del free["price"]
    models = [model("paid"), free, model("reasoning", tags=["reasoning"]), model("small", max_tokens=50)]
    addresses = {"up": upstream_url} | dict(others or {})
    models += [model("paid", id=f"{name}/paid", upstream=name) for name in others or {}]
    # The same server twice more, under the dialects that some servers need.
    models += [model("paid", id=f"as-{name}/paid", upstream=f"as-{name}", drops=["temperature"]) for name in DIALECTS]
    upstreams: list[dict[str, Any]] = [{"id": name, "base_url": url} for name, url in addresses.items()]
    upstreams += [{"id": f"as-{name}", "base_url": upstream_url, "dialect": name} for name in DIALECTS]
    return File.model_validate({"upstreams": upstreams, "models": models})


@asynccontextmanager
async def running_gateway(
    database_url: str,
    *,
    credits_usd: str = "10",
    patience: Patience | None = None,
    silence_max_s: float = SILENCE_MAX_S,
    others: Mapping[str, str] | None = None,
    limits: Limits = DEFAULTS,
) -> AsyncIterator[Gateway]:
    """Everything of the provider, nothing of the pages. `others` are further upstreams, see `file_for`."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(fake_upstream())
        database = await stack.enter_async_context(Database(database_url))
        async with database.transaction() as db:
            await apply(db, file_for(upstream.url, others), source="test")
            alice = await add_person(db, "alice@example.com", None, verified=True)
            key, secret = await add_key(db, alice, "test")
            if Money.parse(credits_usd):
                await grant(db, alice.organization_id, Money.parse(credits_usd), key="start", note="")
        upstreams = await stack.enter_async_context(Upstreams(_key_of, silence_max_s=silence_max_s))
        writer = Writer(database_url, write_records=write_batch)
        catalog = Catalog(database)
        await catalog.load()
        keeper = LeaseKeeper(database, "test", on_fenced=lambda: chat.flights.stop_all("fenced"))
        await keeper.take()
        chat = ChatCompletions(
            callers=callers(database),
            catalog=catalog,
            ledger=writer,
            upstreams=upstreams,
            free_calls=FreeCalls(database),
            idempotency_keys=IdempotencyKeys(database),
            lease_id=lambda: keeper.lease_id,
            billing_url="https://pouch.example/billing",
            patience=patience,
            limits=limits,
            task_limits=TaskLimits(database, limits.task_usd),
        )

        async def nothing(*_: Any) -> None:
            raise AssertionError("only chat completions are served here")

        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        tasks.create_task(writer.run())
        watching = tasks.create_task(chat.flights.run())
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            Root(chat, nothing, None),
            http=CorkedProtocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        tasks.create_task(server.serve([listener]))
        client = await stack.enter_async_context(httpx.AsyncClient(verify=TRUSTS_NOBODY, timeout=30))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield Gateway(url, client, upstream, database, chat, writer, catalog, alice, key, secret)
        finally:
            server.should_exit = True
            watching.cancel()
            await writer.stop()


def _key_of(_upstream: Upstream) -> str:
    return "the-upstream-key"
