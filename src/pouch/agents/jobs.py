"""The agents lane of a worker: takes runs, works on them, and lets them go when the process is to end."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from pouch.agents import steps, workers
from pouch.agents.attempt import FETCH_MAX_S, KEEP_EVERY_S, Attempt
from pouch.agents.claiming import RUNNING_MAX, Taken, take
from pouch.agents.journal import Journal
from pouch.agents.lost import save_lost
from pouch.agents.moves import JOB
from pouch.agents.redaction import Redaction
from pouch.agents.store import TABLE
from pouch.agents.types import Run
from pouch.agents.workshop import Place, Workshop
from pouch.base.database import Connection, Database
from pouch.base.ids import new_id
from pouch.base.sealing import CannotOpen
from pouch.jobs import claims
from pouch.jobs.registry import Jobs

SHOW_EVERY_S = 10
RUNS_AT_ONCE = 4

PlaceOf = Callable[[Connection, Run], Awaitable[Place]]
PasswordFor = Callable[[Run], Awaitable[str]]
"""With which a run's repository is fetched, or nothing; made for this one fetch."""

log = structlog.get_logger(__name__)


async def _no_password(_run: Run) -> str:
    return ""


async def _nowhere_special(_db: Connection, _run: Run) -> Place:
    return Place()


class AgentJobs:
    """Register it with a process's jobs, run `show` beside them, and call `drain` when the process is to end."""

    def __init__(  # noqa: PLR0913 -- two by position, the rest by name
        self,
        database: Database,
        workshop: Workshop,
        *,
        gateway_url: str,
        running_max: int = RUNNING_MAX,
        width: int = RUNS_AT_ONCE,
        place_of: PlaceOf = _nowhere_special,
        password_for: PasswordFor = _no_password,
        keep_every_s: float = KEEP_EVERY_S,
        fetch_max_s: float = FETCH_MAX_S,
    ) -> None:
        self.worker_id = new_id()
        self._database = database
        self._workshop = workshop
        self._gateway_url = gateway_url
        self._running_max = running_max
        self._width = width
        self._place_of = place_of
        self._password_for = password_for
        self._keep_every_s = keep_every_s
        self._fetch_max_s = fetch_max_s
        self._attempts: dict[UUID, Attempt] = {}
        self._drains = False

    def register(self, jobs: Jobs) -> None:
        """Take runs in this process."""
        jobs.register(JOB, self.work_on, _due, lane="agents")

    async def work_on(self, run_id: UUID) -> None:
        """Take a run if it is due, and stay with it until it is over, rests, or somebody else has it."""
        if self._drains:
            return
        async with self._database.transaction() as db:
            taken = await take(
                db,
                run_id,
                str(self.worker_id),
                running_max=self._running_max,
                has_engine=self._workshop.engine,
                disk=self._workshop.disk,
            )
        if taken is None:
            return
        try:
            async with self._database.transaction() as db:
                place = await self._place_of(db, taken.run)
        except CannotOpen:
            if taken.after != "lost":
                async with self._database.transaction() as db:
                    await steps.end(db, taken.claim, "failed", "environment_closed")
                return
            place = Place()
        if taken.after != "lost":
            place = replace(place, password=await self._password_for(taken.run))
        journal = Journal(self._database, taken.claim, _redaction(taken, place))
        if taken.after == "lost":
            await save_lost(self._database, self._workshop, taken, place, journal)
            return
        attempt = Attempt(
            self._database,
            self._workshop,
            taken,
            place,
            journal,
            keep_every_s=self._keep_every_s,
            fetch_max_s=self._fetch_max_s,
        )
        self._attempts[run_id] = attempt
        try:
            await attempt.work(self._gateway_url)
        except asyncio.CancelledError:
            # The lane ends before the run was let go: whoever takes it next saves what is left.
            log.warning("agent_cut_off", run=taken.run.shown_id)
            raise
        finally:
            del self._attempts[run_id]

    def drain(self) -> None:
        """Take no more runs, and let those under way save their work and go back into the queue."""
        self._drains = True
        for attempt in self._attempts.values():
            attempt.pulse.drains = True
            attempt.pulse.tell()

    async def show(self, facts: Mapping[str, object], stop: asyncio.Event) -> None:
        """Show this process, and what its machine can do, to the pages and the operator, until it is to end."""
        while not stop.is_set():
            try:
                async with self._database.transaction() as db:
                    await workers.show(db, self.worker_id, self._workshop.name, facts, self._width)
            except (psycopg.Error, PoolTimeout, OSError) as error:
                log.warning("agent_worker_unseen", error=type(error).__name__)
            try:
                await asyncio.wait_for(stop.wait(), SHOW_EVERY_S)
            except TimeoutError:
                continue
        self.drain()
        try:
            async with self._database.transaction() as db:
                await workers.leave(db, self.worker_id)
        except (psycopg.Error, PoolTimeout, OSError) as error:
            log.warning("agent_worker_left_unseen", error=type(error).__name__)


async def _due(db: Connection) -> list[UUID]:
    return await claims.due(db, TABLE)


def _redaction(taken: Taken, place: Place) -> Redaction:
    return Redaction([taken.secret, place.password, *place.setup_secrets.values(), *place.run_secrets.values()])
