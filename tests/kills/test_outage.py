"""The database is away for longer than anybody likes to wait; afterwards everything is back soon."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable

import httpx
import psycopg
import pytest

from kills.books import connected, say
from kills.victims import kill
from support.pouch import POLL_S, RunningPouch

pytestmark = [pytest.mark.anyio, pytest.mark.long, pytest.mark.timeout(300)]

AWAY_S = 40
BACK_S = 12
"""As long as a pool goes on with the pauses it has come to, and a little for a busy machine."""


async def test_after_a_long_outage_pages_and_worker_are_back_soon() -> None:
    """A pool that doubles its pauses for as long as the outage lasts would stay away as long again."""
    with RunningPouch() as pouch:
        async with httpx.AsyncClient(base_url=pouch.url, trust_env=False, timeout=30) as browser:
            os.kill(pouch.pid, signal.SIGSTOP)  # nobody starts the database again
            try:
                await kill(pouch, "postgres")
                began = time.monotonic()
                while time.monotonic() < began + AWAY_S:  # people go on asking
                    assert (await browser.get("/readyz")).status_code == 503
                    await asyncio.sleep(0.2)
            finally:
                os.kill(pouch.pid, signal.SIGCONT)
            async with connected(pouch.ends.database_url) as db:
                await db.set_autocommit(True)
                back = time.monotonic()

                async def is_page_back() -> bool:
                    return (await browser.get("/readyz")).status_code == 200

                async def is_worker_back() -> bool:
                    return await _silence_s(db) < time.monotonic() - back

                await asyncio.gather(
                    _comes(is_page_back, "pages", back),
                    _comes(is_worker_back, "the worker", back),
                )


async def _comes(is_back: Callable[[], Awaitable[bool]], what: str, since: float) -> None:
    while not await is_back():
        assert time.monotonic() - since < BACK_S, f"{what} did not come back"
        await asyncio.sleep(POLL_S)
    say(f"{what} back {time.monotonic() - since:.1f} s after the database")


async def _silence_s(db: psycopg.AsyncConnection[psycopg.rows.TupleRow]) -> float:
    """How long ago a worker last showed itself."""
    found = await db.execute(
        "SELECT extract(epoch FROM now() - max(last_heartbeat))::float8 FROM procrastinate_workers"
    )
    row = await found.fetchone()
    assert row is not None
    return float(row[0])
