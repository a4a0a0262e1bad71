"""A ring: who holds a secret, answered from memory for as long as that is safe."""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from pouch.base.database import Connection, Database
from pouch.base.errors import Unavailable

FRESH_S = 10.0
"""How long an answer is used again when this process did not hear of a revocation."""
CALLERS_MAX = 10_000
LOOKUPS_MAX = 4
"""Connections that look secrets up at once; a flood of wrong ones cannot take the pool away from everybody else."""
WAITING_MAX = 1_000
LOOKUP_TIMEOUT_S = 3.0
TICK_S = 1.0
"""How often `run` hears of revocations in other processes."""
USED_EVERY_S = 60.0
"""How coarse the note of the last use is."""

Found = TypeVar("Found")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Known(Generic[Found]):
    found: Found
    until: float


class Ring(ABC, Generic[Found]):
    """Finds the holder of a secret. A known one costs a look into a dict.

    Only good answers are remembered. What was revoked is forgotten at once in the process that revoked it (`forget`)
    and within a second in the others (`run`); paid work is refused at once everywhere, because the ledger blocks the id
    in the commit that revokes it.
    """

    def __init__(
        self, database: Database, *, clock: Callable[[], float] = time.monotonic, callers_max: int = CALLERS_MAX
    ) -> None:
        self._database = database
        self._callers_max = callers_max
        self._clock = clock
        self._known: dict[bytes, _Known[Found]] = {}
        self._used: set[UUID] = set()
        self._noted_at: dict[UUID, float] = {}
        self._lookups = asyncio.Semaphore(LOOKUPS_MAX)
        self._waiting = 0
        self._forgotten = 0

    @abstractmethod
    def _id_of(self, found: Found) -> UUID:
        """What is revoked and noted as used."""

    @abstractmethod
    async def _just_revoked(self, db: Connection) -> Sequence[UUID]:
        """What was revoked in the last half minute: it shows when it is committed, not when it was stamped."""

    @abstractmethod
    async def _note(self, db: Connection, ids: Sequence[UUID]) -> None:
        """Note that these, in their order, have just been used."""

    def _ends_in_s(self, found: Found) -> float | None:
        """How long it lives on if nobody revokes it; None: without end, or told elsewhere."""
        del found
        return None

    @property
    def size(self) -> int:
        """How many secrets are remembered."""
        return len(self._known)

    def forget(self, row_id: UUID) -> None:
        """Look it up anew from now on. Call it after the commit that revoked it."""
        self._forget(lambda found: self._id_of(found) == row_id)

    def _forget(self, is_meant: Callable[[Found], bool]) -> None:
        self._forgotten += 1
        for digest in [digest for digest, known in self._known.items() if is_meant(known.found)]:
            del self._known[digest]

    async def run(self) -> None:
        """Hear of revocations and note what was used, until cancelled. Database failures are waited out."""
        try:
            while True:
                await asyncio.sleep(TICK_S)
                await self.tick()
        finally:
            # What was used in the last seconds is noted before the process goes; the pool is still open.
            self._noted_at.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                    await self.tick()

    async def tick(self) -> None:
        """One round of `run`."""
        try:
            async with self._database.transaction() as db:
                revoked = await self._just_revoked(db)
            for row_id in revoked:
                self.forget(row_id)
            await self._note_used()
        except (psycopg.Error, PoolTimeout) as error:
            # Answers in memory grow old within ten seconds anyway, and what is to be noted stays where it is.
            _log.warning("a ring could not reach the database", ring=type(self).__name__, error=type(error).__name__)

    def _noted(self, found: Found) -> Found:
        """The answer, whose use is noted within a minute."""
        self._used.add(self._id_of(found))
        return found

    def _remembered(self, digest: bytes) -> Found | None:
        known = self._known.get(digest)
        return known.found if known is not None and known.until > self._clock() else None

    async def _look_up(self, digest: bytes, look: Callable[[Connection], Awaitable[Found | None]]) -> Found | None:
        if self._waiting >= WAITING_MAX:
            raise _unavailable()
        self._waiting += 1
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S), self._lookups:
                # Of many calls with one new secret, the first ones have found it meanwhile.
                found = self._remembered(digest)
                return found if found is not None else await self._look(digest, look)
        except (TimeoutError, psycopg.Error, PoolTimeout) as error:
            raise _unavailable() from error
        finally:
            self._waiting -= 1

    async def _look(self, digest: bytes, look: Callable[[Connection], Awaitable[Found | None]]) -> Found | None:
        # The answer is as old as the moment it was asked for, so that is when it starts to age.
        until = self._clock() + FRESH_S
        forgotten = self._forgotten
        async with self._database.transaction() as db:
            found = await look(db)
        if found is None:
            self._known.pop(digest, None)
            return None
        ends_in_s = self._ends_in_s(found)
        if ends_in_s is not None:
            until = min(until, self._clock() + ends_in_s)
        if forgotten == self._forgotten:  # else this may be the one that was revoked while we asked
            self._known[digest] = _Known(found, until)
        if len(self._known) > self._callers_max:
            del self._known[next(iter(self._known))]
        return found

    async def _note_used(self) -> None:
        now = self._clock()
        self._noted_at = {row_id: at for row_id, at in self._noted_at.items() if at > now - USED_EVERY_S}
        due = sorted(self._used - self._noted_at.keys())
        if not due:
            return
        async with self._database.transaction() as db:
            await self._note(db, due)
        self._used.difference_update(due)
        self._noted_at.update(dict.fromkeys(due, now))


def _unavailable() -> Unavailable:
    return Unavailable("Keys cannot be checked right now. Try again in a second.", retry_after_s=1)
