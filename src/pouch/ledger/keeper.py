"""Keeps this process's lease alive, and says when it was lost."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from pouch.base.database import Database
from pouch.ledger.leases import BEAT_EVERY_S, LOST_AFTER_S, beat, give_up_lease, take_lease

log = structlog.get_logger()


class LeaseKeeper:
    """The lease under which this process places holds. Call `take` once, then run `run`."""

    def __init__(self, database: Database, process: str, *, on_fenced: Callable[[], None]) -> None:
        self._database = database
        self._process = process
        self._on_fenced = on_fenced
        self._lease_id: UUID | None = None

    @property
    def lease_id(self) -> UUID:
        """The lease that new holds belong to."""
        assert self._lease_id is not None, "take() comes first"
        return self._lease_id

    async def take(self) -> None:
        """Begin: earlier leases of the same process name are lost, their holds expire at the next sweep."""
        async with self._database.transaction() as db:
            self._lease_id = await take_lease(db, self._process)

    async def run(self) -> None:
        """Beat every five seconds until cancelled.

        A beat that finds the lease lost, or no database for thirty seconds, means that this process was given up: its
        holds are or will be expired. `on_fenced` is called to close what runs on them, and a new lease is taken.
        """
        loop = asyncio.get_running_loop()
        beaten_at = loop.time()
        while True:
            await asyncio.sleep(BEAT_EVERY_S)
            try:
                async with asyncio.timeout(BEAT_EVERY_S), self._database.transaction() as db:
                    is_ours = await beat(db, self.lease_id)
            except (psycopg.Error, PoolTimeout, TimeoutError, OSError) as error:
                log.warning("lease could not beat", error=type(error).__name__)
                is_ours = loop.time() - beaten_at < LOST_AFTER_S
            else:
                if is_ours:
                    beaten_at = loop.time()
            if not is_ours and await self._begin_anew():
                beaten_at = loop.time()

    async def _begin_anew(self) -> bool:
        log.error("lease lost: closing the calls that ran on it")
        self._on_fenced()
        try:
            await self.take()
        except (psycopg.Error, PoolTimeout, OSError) as error:
            log.warning("no new lease yet", error=type(error).__name__)
            return False
        return True

    async def give_up(self) -> None:
        """End in order, once every hold is settled. Without it the lease is lost by its silence."""
        try:
            async with asyncio.timeout(2), self._database.transaction() as db:
                await give_up_lease(db, self.lease_id)
        except (psycopg.Error, PoolTimeout, TimeoutError, OSError) as error:
            log.warning("lease was not given up; it will be lost by its silence", error=type(error).__name__)
