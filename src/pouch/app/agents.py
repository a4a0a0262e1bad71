"""Agents in the processes of Pouch: who starts runs, who works on them, and what pages say of them."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from pouch.agents import hooks, workers
from pouch.agents.asking import Asking, agent_model
from pouch.agents.deploy_keys import open_key
from pouch.agents.environments import PURPOSE, place_of
from pouch.agents.forgetting import forget_old
from pouch.agents.jobs import AgentJobs
from pouch.agents.leftovers import Leftovers
from pouch.agents.live import spending_words
from pouch.agents.machine import Machine, address_check
from pouch.agents.sandboxes.ssh import read_ssh
from pouch.agents.types import Run
from pouch.agents.wishes import end_unanswered
from pouch.agents.workshop import Place
from pouch.app.triggers import Outside
from pouch.base.database import Connection, Database
from pouch.base.errors import PouchError
from pouch.base.money import Money
from pouch.base.sealing import Seal
from pouch.catalog.agent_price import agent_price
from pouch.catalog.snapshot import Catalog
from pouch.settings import Agents, Settings
from pouch.web.viewer import Viewer

SWEEP_EVERY_S = 3600
LOOK_AGAIN_S = 60

Facts = Mapping[str, object]

log = structlog.get_logger()


def asking_of(settings: Settings, catalog: Catalog) -> Asking:
    """What starts runs, with the models on sale and the repositories that the operator allows."""
    return Asking(find=catalog.find, first=lambda: agent_model(catalog.offered), check_address=address_check(settings))


def seal_of(settings: Settings) -> Seal:
    """What keeps the secrets of environments."""
    return Seal(settings.secret_keys, PURPOSE)


def hook_seal_of(settings: Settings) -> Seal:
    """What keeps the secrets that sign what servers are told."""
    return Seal(settings.secret_keys, hooks.PURPOSE)


async def until_usable(machine: Machine, stop: asyncio.Event, *, again_s: float = LOOK_AGAIN_S) -> Facts | None:
    """What this machine can do, once it can keep agents apart from itself or was told to go on without; None: stopped.

    A daemon or a cluster that is away comes back, so it is asked again.
    """
    said = ""
    while not stop.is_set():
        try:
            facts = await machine.facts()
        except (PouchError, OSError) as error:
            if said != (said := str(error)):
                log.warning("agents_not_run_here", reason=said, see="pouch sandbox probe")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), again_s)
        else:
            if not facts["safe"]:
                log.warning("agents_not_kept_apart", see="pouch sandbox probe")
            return facts
    return None


def agent_jobs(settings: Settings, database: Database, outside: Outside, machine: Machine) -> AgentJobs:
    """The agents' lane. Serve it once its machine is usable."""
    return AgentJobs(
        database,
        machine,
        gateway_url=(settings.gateway_url or settings.loopback_url).rstrip("/"),
        running_max=settings.file.agents.running_max,
        width=settings.file.agents.runs_at_once,
        keep_every_s=settings.file.agents.keep_work_every_s,
        fetch_max_s=settings.file.agents.fetch_max_s,
        place_of=partial(_place_of, seal_of(settings)),
        password_for=outside.password_for,
    )


async def tend_runs(agents: Agents, db: Connection) -> None:
    """End runs that nobody answers, and forget what old ones said and left. Some at once, so call it again."""
    await end_unanswered(db, agents.answer_days)
    await forget_old(db, agents.keep_days)


def leftovers_of(settings: Settings, database: Database, machine: Machine) -> Leftovers:
    """What lies on this machine and nowhere else."""
    return Leftovers(database, machine, partial(_place_of, seal_of(settings)))


async def sweep_sandboxes(machine: Machine, stop: asyncio.Event, leftovers: Leftovers | None = None) -> None:
    """Save now and then what lies on this machine and nowhere else, and remove what crashes left: nobody else can."""
    while not stop.is_set():
        try:
            if leftovers is not None:
                await leftovers.save_all()
            await machine.sweep()
        except (PouchError, OSError, psycopg.Error, PoolTimeout) as error:
            log.warning("sandboxes_not_swept", error=type(error).__name__, reason=str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), SWEEP_EVERY_S)


def agents_price(database: Database) -> Callable[[], Awaitable[Money | None]]:
    """Says what an hour of running time costs, where agents can run; else None."""

    async def price() -> Money | None:
        async with database.transaction() as db:
            found = await agent_price(db) if await workers.are_there(db) else None
        return found.per_hour if found is not None else None

    return price


def agents_badge(database: Database) -> Callable[[Viewer], Awaitable[Mapping[str, str]]]:
    """Says on every page how many runs are under way and what they spend."""

    async def badges(viewer: Viewer) -> Mapping[str, str]:
        async with database.transaction() as db:
            words = await spending_words(db, viewer.organization_id)
        return {"/agents": words} if words else {}

    return badges


async def _place_of(seal: Seal, db: Connection, run: Run) -> Place:
    place = await place_of(db, seal, run.organization_id, run.environment_id)
    if run.environment_id is None or read_ssh(run.repository) is None:
        return place
    return replace(place, ssh=await open_key(db, seal, run.environment_id))
