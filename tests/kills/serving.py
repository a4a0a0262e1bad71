"""`pouch serve` as processes of their own, several on one database, with an upstream that obeys the test."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from pouch.base.database import Database
from pouch.base.ids import read_id
from pouch.base.money import Money
from pouch.catalog.apply import apply
from pouch.identity.keys import add_key
from pouch.identity.people import add_person
from pouch.identity.types import Key, Person
from pouch.ledger.accounts import Balance, balance
from pouch.ledger.check import check
from pouch.ledger.grants import grant
from pouch.usage.store import newest_calls
from pouch.usage.types import Call
from support.gateway import events_of, file_for
from support.pouch import POLL_S, command, quiet_port
from support.upstream import FakeUpstream, fake_upstream

_BACKENDS = """
SELECT pid FROM pg_stat_activity WHERE application_name = 'pouch ledger' AND datname = current_database()
"""


@dataclass(frozen=True, slots=True)
class Serve:
    """One `pouch serve`."""

    url: str
    pid: int
    backend_pid: int
    """The ledger's own connection at the database's end."""

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


@dataclass(frozen=True, slots=True)
class Told:
    """What a caller was told."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body, parse_float=Decimal)

    @property
    def events(self) -> list[Any]:
        return events_of(self.body)

    @property
    def generation_id(self) -> UUID:
        found = read_id("gen", self.headers["x-generation-id"])
        assert found is not None
        return found

    @property
    def cost(self) -> Money:
        return Money.parse(f"{Decimal(self.document['usage']['cost']):f}")


@dataclass(frozen=True, slots=True)
class Town:
    """A database with Alice and her key, an upstream, and any number of processes between them."""

    database_url: str
    database: Database
    upstream: FakeUpstream
    alice: Person
    key: Key
    secret: str
    http: httpx.AsyncClient

    async def call(self, serve: Serve, **body: Any) -> Told:
        """Ask one of the processes for a completion as Alice, and read all of it. Raises httpx's errors."""
        body = {
            "model": "up/paid",
            "messages": [{"role": "user", "content": "Say something"}],
            "max_tokens": 100,
        } | body
        url, given = f"{serve.url}/v1/chat/completions", {"authorization": f"Bearer {self.secret}"}
        answer = await self.http.post(url, json=body, headers=given)
        return Told(answer.status_code, answer.headers, answer.content)

    async def grant(self, usd: str) -> None:
        async with self.database.transaction() as db:
            await grant(db, self.alice.organization_id, Money.parse(usd), key=f"test {usd}", note="")

    async def balance(self) -> Balance:
        async with self.database.transaction() as db:
            return await balance(db, self.alice.organization_id)

    async def calls(self) -> list[Call]:
        """Her calls, newest first."""
        async with self.database.transaction() as db:
            return await newest_calls(db, self.alice.organization_id, limit=1000)

    async def at_rest(self) -> Balance:
        """The balance once nothing is held; the books are checked."""
        while (now := await self.balance()).held:
            await asyncio.sleep(POLL_S)
        async with self.database.transaction() as db:
            assert await check(db) == []
        return now


@asynccontextmanager
async def town(database_url: str, *, credits_usd: str = "10") -> AsyncIterator[Town]:
    """Nobody serves yet."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(fake_upstream())
        database = await stack.enter_async_context(Database(database_url))
        async with database.transaction() as db:
            await apply(db, file_for(upstream.url), source="test")
            alice = await add_person(db, "alice@example.com", None, verified=True, welcome=Money.parse(credits_usd))
            key, secret = await add_key(db, alice, "test")
        limits = httpx.Limits(max_connections=None)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=60, limits=limits, trust_env=False))
        yield Town(database_url, database, upstream, alice, key, secret, http)


@asynccontextmanager
async def serving(town: Town, folder: Path) -> AsyncIterator[Serve]:
    """One more process, until the end of the block; then it is killed."""
    port = quiet_port()
    log = folder / f"serve-{port}.log"
    own = {"DATABASE_URL": town.database_url, "PORT": str(port), "DATA_DIR": str(folder), "CONFIG": ""}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POUCH_")}
    environment |= {f"POUCH_{name}": value for name, value in own.items()}
    before = await _backends(town)
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command("serve"), env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        url = f"http://127.0.0.1:{port}"
        while not await _is_ready(town.http, url):
            assert process.returncode is None, log.read_text()
            await asyncio.sleep(POLL_S)
        # The ledger connects when it is first needed.
        warm = await town.call(Serve(url, process.pid, 0))
        assert warm.status == 200, warm.body
        await town.at_rest()
        (backend,) = await _backends(town) - before
        yield Serve(url, process.pid, backend)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _is_ready(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(f"{url}/readyz")).status_code == 200
    except httpx.HTTPError:
        return False


async def _backends(town: Town) -> set[int]:
    async with town.database.transaction() as db:
        return {pid for (pid,) in await (await db.execute(_BACKENDS)).fetchall()}
