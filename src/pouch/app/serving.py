"""`pouch serve`: the pages, the APIs and the provider of one process."""

import asyncio
import gc
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import uvicorn
import uvloop

from pouch.app.corked import CorkedProtocol
from pouch.app.far_ends import test_models, test_models_url
from pouch.app.logs import configure_logs
from pouch.app.metrics import Figures, metrics_served
from pouch.app.pages import SignedInPrograms, pages
from pouch.app.process import Process, database_url
from pouch.app.root import Root
from pouch.base.cycles import look_seldom
from pouch.base.database import Database
from pouch.base.ids import new_id
from pouch.catalog.snapshot import Catalog
from pouch.catalog.types import Upstream
from pouch.embedded.ends import Ends
from pouch.gateway.chat import ChatCompletions
from pouch.gateway.free import FreeCalls
from pouch.gateway.idempotency import IdempotencyKeys
from pouch.gateway.task_limits import TaskLimits
from pouch.gateway.upstream import Upstreams
from pouch.identity.callers import Callers
from pouch.identity.keyring import KeyRing
from pouch.identity.session_tokens import SessionTokens
from pouch.identity.token_ring import TokenRing
from pouch.ledger.keeper import LeaseKeeper
from pouch.ledger.leases import sweep
from pouch.ledger.writer import Writer
from pouch.migrate import is_current
from pouch.settings import Settings, SettingsError
from pouch.topups.jobs import Bell
from pouch.usage.store import write_batch

POOL_SIZE = 20
GRACE_S = 8
"""How long calls under way may finish after SIGTERM. Below the patience of `up`."""
REQUESTS_MAX = 20_000
BACKLOG = 4096
KEEP_ALIVE_S = 75


def serve(settings: Settings) -> None:
    """Serve until a signal. Raises SettingsError when the settings cannot be used."""
    settings.check()
    configure_logs()
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    async with running(settings) as application:
        config = uvicorn.Config(
            application,
            host=settings.host,
            port=settings.port,
            loop="none",
            http=CorkedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            forwarded_allow_ips="127.0.0.1",
            limit_concurrency=REQUESTS_MAX,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        # Most of what was built until now lives as long as the process: collections need not look through it each time.
        gc.collect()
        gc.freeze()
        look_seldom()
        await _Server(config, application.before_stop).serve()


class _Server(uvicorn.Server):
    """Ends what would not end by itself, before it waits for the requests under way."""

    def __init__(self, config: uvicorn.Config, before_stop: Sequence[Callable[[], None]]) -> None:
        super().__init__(config)
        self._before_stop = before_stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for each in self._before_stop:
            each()
        await super().shutdown(sockets)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Root]:
    """The application of one `serve` process with everything that runs beside it, for the length of the block.

    If any of its loops breaks, the block is cancelled and the error comes out: a process that cannot post, beat or
    watch must not go on answering.
    """
    ends = Ends.of(settings)
    url = database_url(settings, ends)
    if not await is_current(url):
        raise SettingsError("The database is not at this version. Run `pouch migrate` first.")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(url, size_max=POOL_SIZE, name="pouch serve"))
        upstreams = await stack.enter_async_context(Upstreams(_keys(ends)))
        writer = Writer(url, write_records=write_batch)
        catalog = Catalog(database, test_base_url=test_models_url(settings, ends))
        await catalog.load()
        bell = Bell(database)
        writer.on_crossed = bell.crossed
        keys = KeyRing(database)
        tokens = SessionTokens(settings.secret_keys)
        token_ring = TokenRing(database, tokens)
        keeper = LeaseKeeper(database, _process_name(settings), on_fenced=lambda: chat.flights.stop_all("fenced"))
        chat = ChatCompletions(
            callers=Callers(keys, token_ring),
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
        await keeper.take()
        stack.push_async_callback(keeper.give_up)
        await _expire_holds_of_former_self(database)
        process = Process(settings, ends, database, stack)
        front = await pages(process, catalog, keys, chat, SignedInPrograms(tokens, token_ring))
        root = Root(chat, front, test_models(settings, ends))
        root.before_stop += process.before_stop
        loops = [catalog.run(), keys.run(), token_ring.run(), keeper.run(), chat.flights.run()]
        loops += [bell.run(), *process.loops]
        stack.enter_context(metrics_served(settings.metrics_port, Figures(writer, chat)))
        # The writer outlasts the other loops: what was produced is charged before the lease is given up.
        async with asyncio.TaskGroup() as outlasting:
            outlasting.create_task(writer.run())
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(loop) for loop in loops]
                    yield root
                    for task in tasks:
                        task.cancel()
            finally:
                await writer.stop()


def _keys(ends: Ends | None) -> Callable[[Upstream], str | None]:
    def key_of(upstream: Upstream) -> str | None:
        """The operator's key from the environment; the test models' from the data folder."""
        if upstream.kind == "test":
            return ends.models_key if ends is not None else None
        return os.environ.get(upstream.api_key_env) if upstream.api_key_env else None

    return key_of


async def _expire_holds_of_former_self(database: Database) -> None:
    while True:
        async with database.transaction() as db:
            if not await sweep(db):
                return


def _process_name(settings: Settings) -> str:
    host = socket.gethostname()
    if settings.under_up is None:
        return f"{host} {new_id()}"
    # Under `up` there is one `serve` for each data folder, so that a new one knows the former to be dead.
    folder = hashlib.sha256(str(settings.data_dir.absolute()).encode()).hexdigest()[:12]
    return f"{host} {folder} serve"
