"""Free models: at most twenty calls of one person in any sixty seconds, over all processes.

Without the database the same count is kept per process, so that free models go on working when it is away.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from pouch.base.database import Connection, Database
from pouch.gateway.errors import BadKey, TooManyFreeCalls
from pouch.ledger.blocks import is_blocked

CALLS_PER_MINUTE = 20
WINDOW_S = 60
LOOKUP_TIMEOUT_S = 1.0

log = structlog.get_logger()


class FreeCalls:
    """Counts the free calls of each person."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._here: dict[UUID, deque[float]] = {}

    async def take(self, person_id: UUID, key_id: UUID) -> None:
        """Count one call. Raises TooManyFreeCalls with the seconds to wait, BadKey when the key was revoked."""
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S), self._database.transaction() as db:
                if await is_blocked(db, key_id):
                    raise BadKey("This API key or session was revoked.")
                wait_s = await take_free_call(db, person_id)
        except (psycopg.Error, PoolTimeout, TimeoutError, OSError) as error:
            log.warning("free calls are counted in this process only", why=type(error).__name__)
            wait_s = self._take_here(person_id)
        if wait_s:
            raise TooManyFreeCalls(
                f"Free models answer {CALLS_PER_MINUTE} calls a minute. Try again in {wait_s} s, or use a paid model.",
                retry_after_s=wait_s,
            )

    def _take_here(self, person_id: UUID) -> int:
        now = self._clock()
        calls = self._here.setdefault(person_id, deque())
        while calls and calls[0] <= now - WINDOW_S:
            calls.popleft()
        if len(calls) >= CALLS_PER_MINUTE:
            return max(1, round(calls[0] + WINDOW_S - now))
        calls.append(now)
        return 0


async def take_free_call(db: Connection, person_id: UUID) -> int:
    """Count one call of the person now; 0 when it is allowed, else the seconds until the next one is."""
    counted = await db.execute(
        """
        INSERT INTO gateway_free_calls AS f (person_id, called_at) VALUES (%(person)s, ARRAY[clock_timestamp()])
        ON CONFLICT (person_id) DO UPDATE
           SET called_at = ARRAY(
                   SELECT at FROM unnest(f.called_at) AS at
                    WHERE at > clock_timestamp() - make_interval(secs => %(window)s) ORDER BY at
               ) || clock_timestamp()
         WHERE (SELECT count(*) FROM unnest(f.called_at) AS at
                 WHERE at > clock_timestamp() - make_interval(secs => %(window)s)) < %(most)s
        """,
        {"person": person_id, "window": WINDOW_S, "most": CALLS_PER_MINUTE},
    )
    if counted.rowcount:
        return 0
    found = await db.execute(
        """
        SELECT ceil(extract(epoch FROM min(at) + make_interval(secs => %(window)s) - clock_timestamp()))::int
          FROM gateway_free_calls AS f, unnest(f.called_at) AS at
         WHERE person_id = %(person)s AND at > clock_timestamp() - make_interval(secs => %(window)s)
        """,
        {"person": person_id, "window": WINDOW_S},
    )
    row = await found.fetchone()
    return max(1, row[0]) if row is not None and row[0] is not None else 1
