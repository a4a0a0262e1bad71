"""`pouch work`: the jobs of one process: mail, payments, and the ledger's sweep."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial

import structlog
import uvloop

from pouch.agents.hooks import HookJobs
from pouch.agents.jobs import AgentJobs
from pouch.agents.losing import LosingJobs
from pouch.agents.machine import Machine, machine_of
from pouch.agents.schedules import ScheduleJobs
from pouch.app.agents import agent_jobs, asking_of, hook_seal_of, leftovers_of, sweep_sandboxes, tend_runs, until_usable
from pouch.app.far_ends import test_models_url
from pouch.app.letters import letter_templates
from pouch.app.logs import configure_logs
from pouch.app.process import database_url
from pouch.app.processors import make_processor
from pouch.app.triggers import Outside
from pouch.base.database import Connection, Database
from pouch.billing.alerts import MonthlyStatements, Notices
from pouch.billing.once import forget_old_requests
from pouch.catalog.snapshot import Catalog
from pouch.embedded.ends import Ends
from pouch.gateway.idempotency import forget_old_keys
from pouch.identity.links import Tokens, forget_old_links
from pouch.identity.tickets import forget_old_tickets
from pouch.jobs.doorbell import Lane
from pouch.jobs.registry import Jobs
from pouch.ledger.debts import collect_debts
from pouch.ledger.leases import sweep
from pouch.ledger.tending import Expiry, Snapshots
from pouch.mail.compose import Sender
from pouch.mail.jobs import Postman
from pouch.mail.sending import Relay
from pouch.migrate import is_current
from pouch.payments.checkout import Checkout
from pouch.payments.events import Inbox
from pouch.payments.jobs import PaymentJobs
from pouch.payments.refunding import Refunding, refund_window
from pouch.roo.tasks import forget_old_tasks
from pouch.settings import Settings, SettingsError
from pouch.topups.jobs import register as register_topups
from pouch.topups.recovery import ConfirmLinks
from pouch.topups.room import TopUps

SWEEP_EVERY_S = 5
COLLECT_EVERY_S = 30
FORGET_EVERY_S = 3600
FORGET_TASKS_EVERY_S = 600
"""Some hundred each time, so that a large history goes within a day and nobody waits for it."""
EXPIRE_EVERY_S = 60
NOTICE_EVERY_S = 30
SNAPSHOT_EVERY_S = 3600

log = structlog.get_logger()


def work(settings: Settings, lanes: Collection[Lane] | None = None) -> None:
    """Work until a signal, on some lanes or on all. Raises SettingsError when the settings cannot be used."""
    settings.check()
    configure_logs()
    uvloop.run(_work(settings, lanes))


async def _work(  # noqa: PLR0915 -- everything that a worker does, one by one
    settings: Settings, lanes: Collection[Lane] | None
) -> None:
    ends = Ends.of(settings)
    url = database_url(settings, ends)
    if not await is_current(url):
        raise SettingsError("The database is not at this version. Run `pouch migrate` first.")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_, stop.set)
    at_once = settings.file.agents.runs_at_once
    async with Database(url, name="pouch work", size_max=max(10, 6 + at_once)) as database:
        jobs = Jobs(database, lanes=lanes, widths={"agents": at_once})
        _postman(settings, ends, database).register(jobs)
        processor = make_processor(settings, ends)
        if processor is not None:
            checkout = Checkout(database, processor, settings)
            topups = TopUps.of(database, processor, checkout, settings)
            sync, window = topups.sync, refund_window(settings)
            refunding = Refunding(database, processor, checkout, sync, window=window)
            PaymentJobs(database, processor, sync, Inbox(database, sync), refunding).register(jobs)
            assert topups.charging is not None
            register_topups(jobs, topups.judge, topups.charging)
        jobs.every(SWEEP_EVERY_S, "ledger.sweep", _Sweep(database))
        jobs.every(COLLECT_EVERY_S, "ledger.collect_debts", _Collect(database))
        jobs.every(EXPIRE_EVERY_S, "ledger.expire", Expiry(database))
        jobs.every(NOTICE_EVERY_S, "billing.notices", Notices(database))
        jobs.every(FORGET_EVERY_S, "billing.statements", MonthlyStatements(database))
        jobs.every(SNAPSHOT_EVERY_S, "ledger.lots", Snapshots(database))
        jobs.every(FORGET_EVERY_S, "gateway.forget_keys", _Forget(database, forget_old_keys))
        jobs.every(FORGET_EVERY_S, "identity.forget_links", _Forget(database, forget_old_links))
        jobs.every(FORGET_EVERY_S, "billing.forget_requests", _Forget(database, forget_old_requests))
        jobs.every(FORGET_EVERY_S, "agents.forget", _Forget(database, partial(tend_runs, settings.file.agents)))
        catalog = Catalog(database, test_base_url=test_models_url(settings, ends))
        await catalog.load()
        asking, outside = asking_of(settings, catalog), Outside.of(settings, database)
        ScheduleJobs(database, asking).register(jobs)
        LosingJobs(database).register(jobs)
        outside.register(jobs, asking)
        private_hosts = [host.lower() for host in settings.file.agents.private_hosts]
        HookJobs(database, hook_seal_of(settings), private_hosts=private_hosts).register(jobs)
        # One machine for all that makes sandboxes here: it may listen for them, and on a port only one can.
        machine = machine_of(settings)
        agents = agent_jobs(settings, database, outside, machine)
        agents.register(jobs)
        outside.register_publishing(jobs, machine)
        jobs.every(FORGET_EVERY_S, "identity.forget_tickets", _Forget(database, forget_old_tickets))
        jobs.every(FORGET_TASKS_EVERY_S, "roo.forget_tasks", _Forget(database, forget_old_tasks))
        try:
            async with asyncio.TaskGroup() as group:
                if lanes is None or {"agents", "publishing"} & set(lanes):
                    is_usable = asyncio.Event()
                    jobs.hold_back("agents", is_usable)
                    jobs.hold_back("publishing", is_usable)
                    shown = agents if lanes is None or "agents" in lanes else None
                    group.create_task(_open(machine, shown, is_usable, stop), name="worker of agents")
                    left = leftovers_of(settings, database, machine)
                    group.create_task(sweep_sandboxes(machine, stop, left), name="places of agents")
                watching = group.create_task(catalog.run(), name="catalog")
                await jobs.run(stop)
                watching.cancel()
        finally:
            await outside.close()
            if processor is not None:
                await processor.close()


async def _open(machine: Machine, agents: AgentJobs | None, is_usable: asyncio.Event, stop: asyncio.Event) -> None:
    facts = await until_usable(machine, stop)
    if facts is None:
        return
    is_usable.set()
    if agents is not None:
        await agents.show(facts, stop)


def _postman(settings: Settings, ends: Ends | None, database: Database) -> Postman:
    relay = Relay.of(settings, embedded_port=ends.smtp_port if ends is not None else None)
    sender = Sender.parse(settings.file.mail.sender)
    # The links in letters are signed when these are sent; the outbox holds nothing that opens anything.
    tokens, confirming = Tokens(settings.secret_keys, settings.url), ConfirmLinks(settings.secret_keys, settings.url)

    def complete(kind: str, context: Mapping[str, str]) -> Mapping[str, str]:
        return confirming.complete(kind, tokens.complete(kind, context))

    return Postman(database, templates=letter_templates(settings), relay=relay, sender=sender, complete=complete)


class _Sweep:
    """Takes the leases of silent processes and gives their holds back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self) -> None:
        while True:
            async with self._database.transaction() as db:
                expired = await sweep(db)
            for hold in expired:
                # The operator's list: what was given back uncharged because the process that ran it died.
                log.warning("hold expired uncharged", hold=str(hold.id), usd=hold.amount.decimal())
            if not expired:
                return


class _Collect:
    """Lets credits that have come back pay what is owed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self) -> None:
        async with self._database.transaction() as db:
            paid = await collect_debts(db)
        for organization_id, amount in paid.items():
            log.info("debt paid", organization=str(organization_id), usd=amount.decimal())


class _Forget:
    """Forgets what is too old to be asked for, in one transaction."""

    def __init__(self, database: Database, forget: Callable[[Connection], Awaitable[None]]) -> None:
        self._database = database
        self._forget = forget

    async def __call__(self) -> None:
        async with self._database.transaction() as db:
            await self._forget(db)
