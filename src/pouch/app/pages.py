"""All pages and quick endpoints of `serve` as one ASGI application."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from pouch.admin.pages import AdminPages
from pouch.agents.api import AgentApi
from pouch.agents.environment_pages import EnvironmentPages
from pouch.agents.machine import address_check, unsafe_banner
from pouch.agents.pages import AgentPages
from pouch.agents.run_pages import RunPages
from pouch.agents.schedule_pages import SchedulePages
from pouch.agents.setup_pages import SetupPages
from pouch.agents.share_pages import SharePages
from pouch.agents.streaming import RunStreams
from pouch.agents.triggers.github.installations import forget_person as forget_on_github
from pouch.app.agents import agents_badge, agents_price, asking_of, hook_seal_of, seal_of
from pouch.app.exports import EXPORTERS, agents_obstacle, payment_obstacle
from pouch.app.far_ends import embedded_routes
from pouch.app.health import Health
from pouch.app.letters import letter_templates
from pouch.app.process import Process
from pouch.app.processors import make_processor, play_money_banner, processor_kind
from pouch.app.triggers import Outside
from pouch.base.clock import system_clock
from pouch.base.database import Connection
from pouch.base.money import Money
from pouch.billing.alert_pages import AlertPages
from pouch.billing.api import AccountApi
from pouch.billing.callers import Callers
from pouch.billing.cap import cap_of
from pouch.billing.card_pages import CardPages
from pouch.billing.credits_api import CreditsApi
from pouch.billing.events_api import EventsApi
from pouch.billing.forecast import Forecasts
from pouch.billing.header import MoneyHeaders
from pouch.billing.home import HomePages
from pouch.billing.key_api import KeyApi
from pouch.billing.live import Live
from pouch.billing.money_api import MoneyApi
from pouch.billing.once import Once
from pouch.billing.openapi import OpenApi
from pouch.billing.pages import BillingPages
from pouch.billing.purchase_api import PurchaseApi
from pouch.billing.recent import recent_in
from pouch.billing.refund_api import RefundApi
from pouch.billing.top_up_api import TopUpApi
from pouch.billing.top_up_pages import TopUpPages
from pouch.billing.voucher_pages import VoucherPages
from pouch.catalog.snapshot import Catalog
from pouch.gateway.chat import ChatCompletions
from pouch.gateway.provider import ProviderRoutes
from pouch.identity.keyring import KeyRing
from pouch.identity.pages import IdentityPages
from pouch.identity.passwords import Passwords
from pouch.identity.playground import playground_caller
from pouch.identity.session_tokens import SessionTokens
from pouch.identity.throttles import Throttles
from pouch.identity.token_ring import TokenRing
from pouch.payments import card_rows, closings
from pouch.payments.checkout import Checkout
from pouch.payments.events import Inbox
from pouch.payments.reconciling import Reconciling
from pouch.payments.refunding import Refunding, refund_window
from pouch.payments.watch import Watch
from pouch.payments.webhooks import Webhooks
from pouch.roo.room import RooRoom
from pouch.roo.tasks import forget_person
from pouch.site.pages import SitePages
from pouch.topups import rules
from pouch.topups.room import TopUps
from pouch.usage.days import spent_by_key
from pouch.usage.pages import UsagePages
from pouch.vouchers.redeem import Desk
from pouch.web.application import application
from pouch.web.events import Streams
from pouch.web.pages import Web
from pouch.web.viewer import Viewer

TEMPLATES = [
    ("pouch.identity", "templates"),
    ("pouch.billing", "templates"),
    ("pouch.admin", "templates"),
    ("pouch.usage", "templates"),
    ("pouch.roo", "templates"),
    ("pouch.site", "templates"),
    ("pouch.agents", "templates"),
    ("pouch.embedded.mailbox", "templates"),
]


@dataclass(frozen=True, slots=True)
class SignedInPrograms:
    """What makes the session tokens of editors and terminals, and what knows them again."""

    tokens: SessionTokens
    ring: TokenRing


async def pages(
    process: Process, catalog: Catalog, keys: KeyRing, chat: ChatCompletions, programs: SignedInPrograms
) -> ASGIApp:
    """Put the rooms' pages together behind the security headers."""
    settings, ends, database = process.settings, process.ends, process.database
    processor = make_processor(settings, ends)
    checkout = Checkout(database, processor, settings)
    topups = TopUps.of(database, processor, checkout, settings)
    sync = topups.sync
    refunding = Refunding(database, processor, checkout, sync, window=refund_window(settings))
    inbox = Inbox(database, sync)
    reconciling = Reconciling(database, processor, sync, inbox)
    web = Web(settings=settings, templates=TEMPLATES)
    web.banner = play_money_banner(settings, processor_kind(settings, ends)) or unsafe_banner(settings)

    def example_model(*, is_free: bool) -> str:
        fitting = next((model.id for model in catalog.offered if model.is_free == is_free), None)
        return fitting or next((model.id for model in catalog.offered), "a-model")

    def free_model() -> str:
        return example_model(is_free=True)

    def paid_model() -> str:
        return example_model(is_free=False)

    async def ask(viewer: Viewer, scope: Scope, receive: Receive, send: Send) -> None:
        await chat.answer_for(playground_caller(viewer), scope, receive, send)

    async def key_spending(db: Connection, organization_id: UUID) -> Mapping[UUID, Money]:
        return await spent_by_key(db, organization_id, now=system_clock())

    throttles = Throttles()
    identity = IdentityPages(
        web,
        database,
        keys=keys,
        passwords=Passwords(),
        throttles=throttles,
        example_model=paid_model,
        exporters=EXPORTERS,
        obstacles=[payment_obstacle, agents_obstacle],
        farewells=[
            forget_person,
            card_rows.forget_person,
            closings.forget_person,
            rules.forget_person,
            forget_on_github,
        ],
        key_spending=key_spending,
        devices_ended=programs.ring.forget_person,
    )
    forecasts = Forecasts(find_cap=cap_of(topups.switch))
    web.find_viewer = identity.find_viewer
    web.find_header = MoneyHeaders(database, topups.switch, forecasts).find
    web.ask_again = identity.ask_again
    streams = Streams(web, Live(database).look)
    process.loops.append(streams.run())
    process.before_stop.append(streams.stop)
    home = HomePages(web, example_model=free_model)
    run_streams = RunStreams(database)
    process.loops.append(run_streams.run())
    process.before_stop.append(run_streams.stop)
    asking = asking_of(settings, catalog)
    outside = Outside.of(settings, database)
    process.stack.push_async_callback(outside.close)
    web.find_badges = agents_badge(database)
    site = SitePages(
        web,
        catalog,
        home=home.home,
        ask=ask,
        sells=checkout.is_open,
        agent_price=agents_price(database),
        also=("/connect",),
    )
    callers, once = Callers(web, database, keys), Once(database)
    routes: list[BaseRoute] = [
        *Health(database).routes(),
        *site.routes(),
        *identity.routes(),
        *BillingPages(web, database, checkout, topups, refunding).routes(),
        *TopUpPages(web, database, checkout, topups, recent_in(database)).routes(),
        *CardPages(web, database, sync.cards, recent_in(database)).routes(),
        *AdminPages(web, database, refunding, reconciling, letter_templates(settings)).routes(),
        *UsagePages(web, database, example_model=free_model).routes(),
        *KeyApi(database, keys).routes(),
        *AccountApi(database, keys).routes(),
        *RooRoom(web, database, catalog, tokens=programs.tokens, ring=programs.ring, throttles=throttles).routes(),
        *PurchaseApi(database, callers, once, checkout, sync).routes(),
        *TopUpApi(database, callers, once, topups, recent_in(database)).routes(),
        *RefundApi(web, database, callers, once, refunding).routes(),
        *VoucherPages(web, database, callers, once, Desk(throttles)).routes(),
        *CreditsApi(database, callers).routes(),
        *MoneyApi(database, callers, once, checkout=checkout, forecasts=forecasts).routes(),
        *EventsApi(callers, streams).routes(),
        *OpenApi(settings).routes(),
        *AlertPages(web, database).routes(),
        *AgentPages(web, database, asking, models=lambda: catalog.models).routes(),
        *SetupPages(web, database, hook_seal_of(settings), models=lambda: catalog.models).routes(),
        *EnvironmentPages(web, database, seal_of(settings), tools=settings.file.agents.tools).routes(),
        *SchedulePages(web, database, models=lambda: catalog.models, check_address=address_check(settings)).routes(),
        *RunPages(web, database, asking, run_streams, outside.bringing).routes(),
        *SharePages(web, database).routes(),
        *AgentApi(database, keys, asking, run_streams, outside.bringing).routes(),
        *outside.routes(),
        *outside.pages(web, models=lambda: catalog.models, check_address=address_check(settings)),
        *streams.routes(),
        *ProviderRoutes(catalog).routes(),
    ]
    if processor is not None:
        await processor.open()
        watch = Watch(processor)
        web.alarms.append(watch.alarm)
        process.loops.append(watch.run())
        process.stack.push_async_callback(processor.close)
        routes += Webhooks(database, processor, inbox).routes()
    routes += await embedded_routes(process, web)
    return application(web, routes, identity.exception_handlers())
