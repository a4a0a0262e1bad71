"""The lines that a person waits for: where Pouch is, and the link for the first one."""

import asyncio
import contextlib
from collections.abc import Callable

import psycopg

from pouch.identity.first import first_link
from pouch.settings import Settings
from pouch.up.ports import answers_ready

POLL_S = 0.05


async def announce(settings: Settings, url: str, *, say: Callable[[str], None]) -> None:
    """Wait until `serve` is ready and say where it is. While there is no operator, add a link that works once."""
    while True:
        with contextlib.suppress(psycopg.OperationalError):  # Postgres may be on its way back
            if await answers_ready(settings):
                token = await _first_token(url)
                break
        await asyncio.sleep(POLL_S)
    say(f"Pouch is ready: {settings.url}")
    if token:
        say(f"There is no operator yet. The first person opens, once: {settings.url}/first/{token}")


async def _first_token(url: str) -> str | None:
    async with await psycopg.AsyncConnection.connect(url, options="-c timezone=UTC") as db:
        return await first_link(db)
