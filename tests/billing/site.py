"""A Pouch with only the money pages in it, a real card processor behind it, and Alice, Bob and Carol in front."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx
from pydantic import SecretStr
from starlette.requests import Request
from starlette.routing import Route

from pouch.base.database import Database
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.billing.alert_pages import AlertPages
from pouch.billing.api import AccountApi
from pouch.billing.callers import Callers
from pouch.billing.card_pages import CardPages
from pouch.billing.credits_api import CreditsApi
from pouch.billing.events_api import EventsApi
from pouch.billing.forecast import Forecasts
from pouch.billing.header import MoneyHeaders
from pouch.billing.home import HomePages
from pouch.billing.live import Live
from pouch.billing.money_api import MoneyApi
from pouch.billing.once import Once
from pouch.billing.openapi import OpenApi
from pouch.billing.pages import BillingPages
from pouch.billing.purchase_api import PurchaseApi
from pouch.billing.refund_api import RefundApi
from pouch.billing.top_up_api import TopUpApi
from pouch.billing.top_up_pages import TopUpPages
from pouch.billing.voucher_pages import VoucherPages
from pouch.identity.keyring import KeyRing
from pouch.identity.throttles import Throttles
from pouch.ledger import accounts
from pouch.ledger.grants import grant
from pouch.payments.checkout import Checkout
from pouch.payments.processor import Processor
from pouch.payments.refunding import Refunding, refund_window
from pouch.settings import Settings
from pouch.topups.room import TopUps
from pouch.usage.pages import UsagePages
from pouch.vouchers.redeem import Desk
from pouch.web.application import application
from pouch.web.events import Streams
from pouch.web.pages import Web
from pouch.web.security import Security
from pouch.web.viewer import Viewer
from support.cards import RunningProcessor, card_processor


@dataclass(frozen=True, slots=True)
class Somebody:
    """A signed-in person. The name in the cookie says who."""

    email: str
    organization_id: UUID
    person_id: UUID = field(default_factory=new_id)
    session_id: UUID = field(default_factory=new_id)
    is_operator: bool = False
    is_verified: bool = True


@dataclass
class Site:
    """The application, who is known to it, and where money comes from."""

    app: Security
    database: Database
    people: dict[str, Somebody]
    processor: RunningProcessor | None
    settings: Settings
    streams: Streams
    checkout: Checkout
    topups: TopUps
    forgetful: set[str]
    """The addresses of those who have not given their password lately."""

    @asynccontextmanager
    async def browser(self, name: str | None = "alice") -> AsyncIterator[httpx.AsyncClient]:
        """A client that behaves like a browser on our own pages, signed in as somebody or as nobody."""
        headers = {"origin": self.settings.url, "sec-fetch-site": "same-origin"}
        cookies = {"pouch": name} if name else {}
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(
            transport=transport, base_url=self.settings.url, headers=headers, cookies=cookies
        ) as client:
            yield client

    async def give(self, name: str, usd: str, key: str = "start") -> None:
        """Credits that nobody paid for."""
        async with self.database.transaction() as db:
            await grant(
                db, self.people[name].organization_id, Money.parse(usd), key=f"{key}:{name}", note="Welcome credits"
            )


SECRET = SecretStr("a secret of these tests")
OpenSite = Callable[..., AbstractAsyncContextManager[Site]]


@asynccontextmanager
async def opened(
    database_url: str, folder: Path, *, sells: bool, config: str, port: int, payments: str = ""
) -> AsyncIterator[Site]:
    """Open the site. `config` is its pouch.toml, `payments` more of [payments]; `sells=False`: no card processor."""
    file = folder / "pouch.toml"
    async with Database(database_url) as database:
        if not sells:
            file.write_text(config)
            settings = Settings(config=str(file), port=port, secret_key=SECRET)
            async with _watching(await _site(settings, database, None)) as site:
                yield site
            return
        async with card_processor(database_url) as running:
            file.write_text(f'{config}\n[payments]\nstripe_api_base = "{running.api_base}"\n{payments}\n')
            stripe_key = SecretStr(running.secret_key)
            settings = Settings(config=str(file), port=port, stripe_secret_key=stripe_key, secret_key=SECRET)
            async with _watching(await _site(settings, database, running)) as site:
                yield site


@asynccontextmanager
async def _watching(site: Site) -> AsyncIterator[Site]:
    """With the loop of the event stream beside it."""
    loop = asyncio.create_task(site.streams.run())
    try:
        yield site
    finally:
        loop.cancel()
        await asyncio.wait([loop])


async def _site(settings: Settings, database: Database, running: RunningProcessor | None) -> Site:
    harbor, carols = new_id(), new_id()
    people = {
        "alice": Somebody("alice.moreau@harbor.example", harbor),
        "bob": Somebody("bob@harbor.example", harbor),
        "carol": Somebody("carol@elsewhere.example", carols),
    }
    async with database.transaction() as db:
        await accounts.open_account(db, harbor)
        await accounts.open_account(db, carols)

    web = Web(settings=settings, templates=[("pouch.billing", "templates"), ("pouch.usage", "templates")])

    async def find_viewer(request: Request) -> Viewer | None:
        return people.get(request.cookies.get("pouch", ""))

    async def recent(viewer: Viewer) -> bool:
        return viewer.email not in forgetful

    forgetful: set[str] = set()
    processor = _client(running) if running else None
    checkout, keys = Checkout(database, processor, settings), KeyRing(database)
    topups = TopUps.of(database, processor, checkout, settings)
    web.find_viewer, web.find_header = find_viewer, MoneyHeaders(database, topups.switch).find
    refunding = Refunding(database, processor, checkout, topups.sync, window=refund_window(settings))
    pages = BillingPages(web, database, checkout, topups, refunding)
    home = HomePages(web, example_model=lambda: "pouch/free")
    usage = UsagePages(web, database, example_model=lambda: "pouch/free")
    streams = Streams(web, Live(database).look, look_every_s=0.05)
    api = AccountApi(database, keys)
    callers, once = Callers(web, database, keys), Once(database)
    purchase_api = PurchaseApi(database, callers, once, checkout, topups.sync)
    refund_api = RefundApi(web, database, callers, once, refunding)
    vouchers = VoucherPages(web, database, callers, once, Desk(Throttles()))
    credits_api = CreditsApi(database, callers)
    money = MoneyApi(database, callers, once, checkout=checkout, forecasts=Forecasts())
    routes = [
        *pages.routes(),
        *TopUpPages(web, database, checkout, topups, recent).routes(),
        *CardPages(web, database, topups.sync.cards, recent).routes(),
        *TopUpApi(database, callers, once, topups, recent).routes(),
        Route("/", home.home),
        *usage.routes(),
        *api.routes(),
        *purchase_api.routes(),
        *refund_api.routes(),
        *vouchers.routes(),
        *credits_api.routes(),
        *money.routes(),
        *EventsApi(callers, streams).routes(),
        *OpenApi(settings).routes(),
        *AlertPages(web, database).routes(),
        *streams.routes(),
    ]
    app = application(web, routes)
    return Site(app, database, people, running, settings, streams, checkout, topups, forgetful)


def _client(running: RunningProcessor) -> Processor:
    return Processor(
        kind="embedded",
        secret_key=running.secret_key,
        webhook_secret=running.webhook_secret,
        api_base=running.api_base,
    )
