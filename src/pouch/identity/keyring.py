"""The key ring: who calls, answered from memory for as long as that is safe."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from pouch.base.database import Database
from pouch.base.errors import Unavailable
from pouch.identity.keys import find_caller, hash_secret, looks_real
from pouch.identity.types import Caller, KeyId

FRESH_S = 10.0
"""How long an answer is used again when this process did not hear of a revocation."""
CALLERS_MAX = 10_000
LOOKUPS_MAX = 4
"""Connections that look keys up at once; a flood of wrong keys cannot take the pool away from everybody else."""
WAITING_MAX = 1_000
LOOKUP_TIMEOUT_S = 3.0
TICK_S = 1.0
"""How often `run` hears of revocations in other processes."""
USED_EVERY_S = 60.0
"""How coarse `used_at` is."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    until: float


class KeyRing:
    """Finds the caller of a key. A known key costs a hash and a look into a dict.

    Only good answers are remembered. A revoked key is forgotten at once in the process that revoked it (`forget`) and
    within a second in the others (`run`); paid work is refused at once everywhere, because the ledger blocks the key in
    the commit that revokes it.
    """

    def __init__(
        self, database: Database, *, clock: Callable[[], float] = time.monotonic, callers_max: int = CALLERS_MAX
    ) -> None:
        self._database = database
        self._callers_max = callers_max
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._used: set[KeyId] = set()
        self._noted_at: dict[KeyId, float] = {}
        self._lookups = asyncio.Semaphore(LOOKUPS_MAX)
        self._waiting = 0
        self._forgotten = 0

    @property
    def size(self) -> int:
        """How many keys are remembered."""
        return len(self._known)

    async def caller(self, secret: str) -> Caller | None:
        """Whose key this is. None when it is not a live key; Unavailable when the database does not say in time."""
        digest = hash_secret(secret)
        caller = self._remembered(digest)
        if caller is None and looks_real(secret):
            caller = await self._look_up(digest, secret)
        if caller is not None:
            self._used.add(caller.key_id)
        return caller

    def forget(self, key_id: KeyId) -> None:
        """Look the key up anew from now on. Call it after the commit that revoked it."""
        self._forgotten += 1
        for digest in [digest for digest, known in self._known.items() if known.caller.key_id == key_id]:
            del self._known[digest]

    async def run(self) -> None:
        """Hear of revocations and note which keys were used, until cancelled. Database failures are waited out."""
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
            for key_id in await self._just_revoked():
                self.forget(key_id)
            await self._note_used()
        except (psycopg.Error, PoolTimeout) as error:
            # Answers in memory grow old within ten seconds anyway, and the keys to note stay where they are.
            _log.warning("key ring could not reach the database", error=type(error).__name__)

    def _remembered(self, digest: bytes) -> Caller | None:
        known = self._known.get(digest)
        return known.caller if known is not None and known.until > self._clock() else None

    async def _look_up(self, digest: bytes, secret: str) -> Caller | None:
        if self._waiting >= WAITING_MAX:
            raise _unavailable()
        self._waiting += 1
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S), self._lookups:
                # Of many calls with one new key, the first ones have found it meanwhile.
                caller = self._remembered(digest)
                return caller if caller is not None else await self._find(digest, secret)
        except (TimeoutError, psycopg.Error, PoolTimeout) as error:
            raise _unavailable() from error
        finally:
            self._waiting -= 1

    async def _find(self, digest: bytes, secret: str) -> Caller | None:
        # The answer is as old as the moment it was asked for, so that is when it starts to age.
        until = self._clock() + FRESH_S
        forgotten = self._forgotten
        async with self._database.transaction() as db:
            caller = await find_caller(db, secret)
        if caller is None:
            self._known.pop(digest, None)
            return None
        if forgotten == self._forgotten:  # else this may be the key that was revoked while we asked
            self._known[digest] = _Known(caller, until)
        if len(self._known) > self._callers_max:
            del self._known[next(iter(self._known))]
        return caller

    async def _just_revoked(self) -> list[KeyId]:
        # Half a minute back, because a revocation shows up when it is committed, not when it was stamped.
        async with self._database.transaction() as db:
            rows = await db.execute("SELECT id FROM identity_keys WHERE revoked_at > now() - interval '30 seconds'")
            return [KeyId(row[0]) for row in await rows.fetchall()]

    async def _note_used(self) -> None:
        now = self._clock()
        self._noted_at = {key_id: at for key_id, at in self._noted_at.items() if at > now - USED_EVERY_S}
        due = sorted(self._used - self._noted_at.keys())
        if not due:
            return
        async with self._database.transaction() as db:
            # Locked in id order: two processes note the same keys.
            await db.execute(
                """
                UPDATE identity_keys SET used_at = now()
                 WHERE id IN (SELECT id FROM identity_keys WHERE id = ANY(%s) ORDER BY id FOR UPDATE)
                """,
                (due,),
            )
        self._used.difference_update(due)
        self._noted_at.update(dict.fromkeys(due, now))


def _unavailable() -> Unavailable:
    return Unavailable("Keys cannot be checked right now. Try again in a second.", retry_after_s=1)
