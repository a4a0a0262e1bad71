"""The journal of one attempt: what happens is collected for a moment, cleaned of secrets, and written in order."""

import asyncio
from typing import Protocol

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from pouch.agents.engines.types import Event
from pouch.agents.events import New, append
from pouch.agents.redaction import Redaction
from pouch.base.database import Database
from pouch.jobs.claims import Claim

FLUSH_EVERY_S = 0.15
WAITING_MAX = 5_000
"""Events that wait while the database is away. More are dropped, and the run says so."""
BATCH_MAX = 200

log = structlog.get_logger(__name__)


class Note(Protocol):
    """Writes down that something happened."""

    def __call__(self, type_: str, /, **body: object) -> None:
        """Of a type, with what is to be said of it."""
        ...


class Journal:
    """Call `note` from anywhere; `run` writes until `close`."""

    def __init__(self, database: Database, claim: Claim, redaction: Redaction) -> None:
        self._database = database
        self._claim = claim
        self._redaction = redaction
        self._waiting: list[New] = []
        self._dropped = 0
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._is_closed = False

    def note(self, type_: str, /, **body: object) -> None:
        """Something happened."""
        if len(self._waiting) >= WAITING_MAX:
            self._dropped += 1
            return
        self._waiting.append((type_, self._redaction.body(body)))
        self._wake.set()

    def note_event(self, event: Event) -> None:
        """The engine said something."""
        self.note(event.type, **{str(name): value for name, value in event.data.items()})

    def clean(self, document: bytes) -> bytes:
        """A document of the run without its secrets."""
        return self._redaction.document(document)

    async def run(self) -> None:
        """Write what is noted, until `close`."""
        while not self._is_closed:
            await self._wake.wait()
            await asyncio.sleep(FLUSH_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits. It is dropped once the run is another worker's; a database that is away is waited for."""
        # Two at once would write the same events twice, and then drop others.
        async with self._writing:
            self._wake.clear()
            if self._dropped:
                text, self._dropped = f"{self._dropped} events were lost: too many at once.", 0
                self._waiting.append(("notice", {"code": "events_lost", "text": text}))
            while self._waiting:
                batch = self._waiting[:BATCH_MAX]
                try:
                    async with self._database.transaction() as db:
                        await append(db, self._claim.row_id, batch, epoch=self._claim.epoch)
                except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, OSError) as error:
                    log.warning("agent_journal_waits", error=type(error).__name__)
                    self._wake.set()
                    return
                del self._waiting[: len(batch)]

    async def take(self) -> list[New]:
        """What waits to be written, for whoever writes it in a transaction of their own, in its place."""
        async with self._writing:
            waiting, self._waiting = self._waiting, []
            return waiting

    def close(self) -> None:
        """Let `run` end."""
        self._is_closed = True
        self._wake.set()
