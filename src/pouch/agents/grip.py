"""A worker's grip on its run: one transaction after the other, tried again while the database is away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
from psycopg_pool import PoolTimeout

from pouch.agents.claiming import BEAT_EVERY_S, LEASE_S
from pouch.agents.errors import Fenced
from pouch.base.database import Connection, Database
from pouch.jobs.claims import Claim

SILENCE_MAX_S = LEASE_S - BEAT_EVERY_S
"""A worker that reached nobody for so long ends its agent by itself: soon somebody else takes the run."""
AGAIN_EVERY_S = 0.5

T = TypeVar("T")


class Grip:
    """Each step locks the run and needs the claim; see `steps`."""

    def __init__(self, database: Database, claim: Claim) -> None:
        self.database = database
        self.claim = claim

    async def step(self, act: Callable[[Connection, Claim], Awaitable[T]]) -> T:
        """One transaction. It may be tried twice, so it must repeat safely. Raises Fenced when the claim is over."""

        async def once() -> T:
            async with self.database.transaction() as db:
                return await act(db, self.claim)

        return await self.again(once)

    async def again(self, act: Callable[[], Awaitable[T]]) -> T:
        """The same for what reads in several transactions."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SILENCE_MAX_S
        while True:
            try:
                return await act()
            except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, OSError):
                if loop.time() > until:
                    raise Fenced from None
                await asyncio.sleep(AGAIN_EVERY_S)
