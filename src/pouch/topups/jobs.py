"""What a worker does for top-ups, and the bell that `serve` rings when a balance has fallen below its threshold."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from pouch.base.database import Database
from pouch.jobs.doorbell import ring
from pouch.jobs.registry import Jobs
from pouch.topups.charging import Charging
from pouch.topups.judging import CHARGE_JOB, JOB, Judge

PAUSE_S = 1.0

_log = structlog.get_logger("pouch.topups")


def register(jobs: Jobs, judge: Judge, charging: Charging) -> None:
    """Tell the worker about both kinds."""
    jobs.register(JOB, judge.look, judge.due)
    jobs.register(CHARGE_JOB, charging.charge, charging.due)


class Bell:
    """Rings for crossings right after the commit that made them.

    A ring is only a hint: a crossing that nobody rang for is found by the sweep within seconds.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._crossed: set[UUID] = set()
        self._news = asyncio.Event()

    def crossed(self, organization_ids: Sequence[UUID]) -> None:
        """What the ledger's writer calls; it returns at once."""
        self._crossed.update(organization_ids)
        self._news.set()

    async def run(self) -> None:
        """Ring until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            due, self._crossed = self._crossed, set()
            try:
                for organization_id in due:
                    async with self._database.transaction() as db:
                        await ring(db, JOB, organization_id)
            except (psycopg.Error, PoolTimeout) as error:
                _log.warning("topups_bell_failed", error=type(error).__name__)
                await asyncio.sleep(PAUSE_S)
