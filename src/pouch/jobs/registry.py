"""What a `work` process can do: the kinds of jobs it has handlers for and the chores it does by the clock."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog

from pouch.base.database import Database
from pouch.jobs.doorbell import Lane
from pouch.jobs.engine import Engine
from pouch.jobs.serving import LANES, RESTART_PAUSE_S, serve
from pouch.jobs.sweep import SWEEP_EVERY_S, Due, Handler, Kind, alone, sweep

log = structlog.get_logger(__name__)

CLEAN_EVERY_S = 60
CONNECTIONS_MAX = 6
"""Of the engine's own; handlers take theirs from the database's pool."""


@dataclass(frozen=True, slots=True)
class Chore:
    """What is done by the clock, by one process of many."""

    name: str
    cron: str
    function: Callable[[], Awaitable[None]]


class Jobs:
    """The handlers and chores of this process; `run` serves them. Register all before `run`."""

    def __init__(
        self, database: Database, *, lanes: Collection[Lane] | None = None, widths: Mapping[Lane, int] | None = None
    ) -> None:
        """`lanes`: serve these alone, without the chores of the others; None: all. `widths`: other than the usual."""
        self._only = lanes
        self._widths = {lane: rules.width for lane, rules in LANES.items()} | dict(widths or {})
        self._database = database
        self._held_back: dict[str, asyncio.Event] = {}
        self._kinds: dict[str, Kind] = {}
        self._chores: dict[str, Chore] = {}

    def register(self, kind: str, handler: Handler, due: Due, lane: Lane = "short") -> None:
        """Call `handler` with a row's id whenever the bell rings for it.

        It may be called twice, late, at the same time in two processes, or for a row that is done: it claims the row
        first. `due` lists the rows that have something to do and nobody who does it; the sweep rings for them.
        """
        if kind in self._kinds:
            raise ValueError(f"There is a handler for {kind} already")
        if self._only is not None and lane not in self._only:
            return
        self._kinds[kind] = Kind(kind, handler, due, lane)

    def every(self, seconds: int, name: str, function: Callable[[], Awaitable[None]]) -> None:
        """Call `function` by the clock (UTC), once per tick in one process of all that work on this database.

        `seconds` divides a minute, or is whole minutes that divide an hour, or whole hours that divide a day. A tick is
        left out while the one before still runs; after a pause of all processes the last one is made up for.
        """
        if name in self._chores:
            raise ValueError(f"There is a chore called {name} already")
        if self._only is not None and "short" not in self._only:
            return
        self._chores[name] = Chore(name, cron(seconds), function)

    def hold_back(self, lane: Lane, until: asyncio.Event) -> None:
        """Serve that lane only once `until` is set."""
        self._held_back[lane] = until

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then let the jobs in flight end. Waits for a database that does not answer."""
        engine = await self._open(stop)
        if engine is None:
            return
        try:
            async with asyncio.TaskGroup() as group:
                for lane in self._lanes():
                    group.create_task(self._serve(engine, lane, stop), name=f"serve {lane}")
        finally:
            await engine.close()

    async def _serve(self, engine: Engine, lane: str, stop: asyncio.Event) -> None:
        until = self._held_back.get(lane)
        if until is None or await _is_set_first(until, stop):
            await serve(engine, lane, stop, width=self._widths[lane])

    async def sweep(self) -> int:
        """Ring for every due row that has no job waiting; returns how many."""
        return await sweep(self._database, self._kinds.values())

    def _engine(self) -> Engine:
        engine = Engine(self._database.url, connections_max=CONNECTIONS_MAX)
        for kind in self._kinds.values():
            engine.add(kind.name, partial(_handle, kind))

        async def sweep_all() -> None:
            await self.sweep()

        async def clean() -> None:
            if deleted := await engine.clean():
                log.warning("jobs.dead_workers_cleaned", jobs=deleted)

        # A worker without any tick would not notice that Postgres was restarted, and would hear no bell any more.
        own = (Chore("jobs.sweep", cron(SWEEP_EVERY_S), sweep_all), Chore("jobs.clean", cron(CLEAN_EVERY_S), clean))
        for chore in (*own, *self._chores.values()):
            engine.add_tick(chore.name, lane="chores", cron=chore.cron, function=partial(self._do_chore, chore))
        return engine

    async def _open(self, stop: asyncio.Event) -> Engine | None:
        while not stop.is_set():
            engine = self._engine()
            try:
                await engine.open()
            except Exception as error:  # noqa: BLE001 -- whatever keeps us from the database, it may pass
                log.warning("jobs.no_database", error=repr(error))
                await engine.close()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), RESTART_PAUSE_S)
            else:
                return engine
        return None

    def _lanes(self) -> list[str]:
        used = {kind.lane for kind in self._kinds.values()}
        return [lane for lane in LANES if lane == "chores" or lane in used]

    async def _do_chore(self, chore: Chore) -> None:
        try:
            async with asyncio.timeout(LANES["chores"].timeout_s):
                await alone(self._database, chore.name, chore.function)
        except Exception:
            log.exception("jobs.chore_failed", chore=chore.name)


def cron(seconds: int) -> str:
    """The tick of that length in cron's words; seconds stand in the sixth field. Raises ValueError for uneven ones."""
    minutes, hours = seconds // 60, seconds // 3600
    if 0 < seconds < 60 and 60 % seconds == 0:
        return f"* * * * * */{seconds}"
    if 0 < minutes < 60 and seconds == minutes * 60 and 60 % minutes == 0:
        return f"*/{minutes} * * * *"
    if 0 < hours < 24 and seconds == hours * 3600 and 24 % hours == 0:
        return f"0 */{hours} * * *"
    if hours == 24 and seconds == hours * 3600:
        return "0 0 * * *"
    raise ValueError(f"{seconds} seconds do not divide a minute, an hour or a day")


async def _is_set_first(event: asyncio.Event, stop: asyncio.Event) -> bool:
    waiting = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(stop.wait())]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
    return not stop.is_set()


async def _handle(kind: Kind, row_id: UUID) -> None:
    try:
        async with asyncio.timeout(LANES[kind.lane].timeout_s):
            await kind.handler(row_id)
    except Exception:
        # The row keeps its claim until the lease ends; then the sweep rings for it again.
        log.exception("jobs.handler_failed", kind=kind.name, row_id=str(row_id))
