"""The public pages and the playground on a real gateway with the test models; Alice has credits, Carol has none."""

import asyncio
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from uuid import UUID

import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from pouch.base.database import Database
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.catalog.apply import apply
from pouch.catalog.snapshot import Catalog
from pouch.gateway.chat import ChatCompletions
from pouch.gateway.free import FreeCalls
from pouch.gateway.idempotency import IdempotencyKeys
from pouch.gateway.provider import ProviderRoutes
from pouch.gateway.task_limits import TaskLimits
from pouch.gateway.upstream import Upstreams
from pouch.identity.people import add_person
from pouch.identity.playground import playground_caller
from pouch.ledger.accounts import balance
from pouch.ledger.grants import grant
from pouch.ledger.keeper import LeaseKeeper
from pouch.ledger.writer import Writer
from pouch.settings import File, Settings
from pouch.site.pages import SitePages
from pouch.usage.store import newest_calls, write_batch
from pouch.usage.types import Call
from pouch.web.application import application
from pouch.web.pages import Web
from pouch.web.security import Security
from pouch.web.viewer import Header, Viewer
from support.callers import callers
from support.models import MODELS_KEY, serve_models


@dataclass(frozen=True, slots=True)
class Somebody:
    """A signed-in person. The name in the cookie says who."""

    email: str
    person_id: UUID
    organization_id: UUID
    session_id: UUID
    is_operator: bool = False
    is_verified: bool = True


@dataclass
class Site:
    """The application, who is known to it, and what it stands on."""

    app: Security
    settings: Settings
    database: Database
    catalog: Catalog
    chat: ChatCompletions
    writer: Writer
    people: dict[str, Viewer]

    @asynccontextmanager
    async def browser(self, name: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """A client that behaves like a browser on our own pages, signed in as somebody or as nobody."""
        headers = {"origin": self.settings.url, "sec-fetch-site": "same-origin"}
        cookies = {"pouch": name} if name else {}
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(
            transport=transport, base_url=self.settings.url, headers=headers, cookies=cookies
        ) as client:
            yield client

    async def apply(self, toml: str) -> None:
        """Apply a pouch.toml, and let this process see it."""
        async with self.database.transaction() as db:
            await apply(db, _file(toml), source="pouch.toml", test_models="add", confirm=True)
        await self.catalog.load()

    async def calls(self, name: str = "alice") -> list[Call]:
        """What was recorded for somebody, once nothing is under way."""
        async with asyncio.timeout(20):
            while len(self.chat.flights) or not self.writer.is_at_rest:
                await asyncio.sleep(0.01)
        async with self.database.transaction() as db:
            return await newest_calls(db, self.people[name].organization_id, limit=10)

    async def available(self, name: str = "alice") -> Money:
        """What somebody can spend."""
        async with self.database.transaction() as db:
            return (await balance(db, self.people[name].organization_id)).available


OpenSite = Callable[..., AbstractAsyncContextManager[Site]]


@asynccontextmanager
async def opened(
    database_url: str,
    settings: Settings,
    *,
    sells: bool = True,
    models: bool = True,
    agents: bool = True,
    delay_ms: int = 0,
) -> AsyncIterator[Site]:
    """Open the site on the file that the settings name. `models=False` is a catalog without test models."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(database_url))
        test_url = await stack.enter_async_context(serve_models(delay_ms=delay_ms))
        upstreams = await stack.enter_async_context(Upstreams(lambda _upstream: MODELS_KEY))
        people = await _people(database)
        async with database.transaction() as db:
            await apply(db, settings.file, source="pouch.toml", test_models="add" if models else "keep")
        writer = Writer(database_url, write_records=write_batch)
        catalog = Catalog(database, test_base_url=test_url)
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
            billing_url=f"{settings.url}/billing",
            limits=settings.file.limits,
            task_limits=TaskLimits(database, settings.file.limits.task_usd),
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        tasks.create_task(writer.run())
        try:
            pages = _application(settings, database, catalog, chat, people, sells=sells, agents=agents)
            yield Site(pages, settings, database, catalog, chat, writer, people)
        finally:
            await writer.stop()


def _application(
    settings: Settings,
    database: Database,
    catalog: Catalog,
    chat: ChatCompletions,
    people: dict[str, Viewer],
    *,
    sells: bool,
    agents: bool,
) -> Security:
    web = Web(settings=settings, templates=[("pouch.site", "templates")])

    async def find_viewer(request: Request) -> Viewer | None:
        return people.get(request.cookies.get("pouch", ""))

    async def find_header(viewer: Viewer) -> Header:
        async with database.transaction() as db:
            now = await balance(db, viewer.organization_id)
        return Header(available=now.available, held=now.held, balance=now.posted, pending=Money(0))

    async def ask(viewer: Viewer, scope: Scope, receive: Receive, send: Send) -> None:
        await chat.answer_for(playground_caller(viewer), scope, receive, send)

    async def agent_hour() -> Money | None:
        return Money.parse("4.5") if agents else None

    async def home(_request: Request) -> Response:
        return PlainTextResponse("the home of somebody")

    web.find_viewer, web.find_header = find_viewer, find_header
    pages = SitePages(web, catalog, home=home, ask=ask, sells=sells, agent_price=agent_hour)
    return application(web, [*pages.routes(), *ProviderRoutes(catalog).routes()])


async def _people(database: Database) -> dict[str, Viewer]:
    async with database.transaction() as db:
        alice = await add_person(db, "alice@harbor.example", None, verified=True)
        carol = await add_person(db, "carol@elsewhere.example", None, verified=True)
        await grant(db, alice.organization_id, Money.parse("10"), key="start", note="")
    somebody = {
        name: Somebody(person.email, person.id, person.organization_id, new_id())
        for name, person in (("alice", alice), ("carol", carol))
    }
    unverified = replace(somebody["carol"], is_verified=False)
    return {**somebody, "unverified": unverified, "operator": replace(somebody["carol"], is_operator=True)}


def _file(toml: str) -> File:
    return File.model_validate(tomllib.loads(toml))
