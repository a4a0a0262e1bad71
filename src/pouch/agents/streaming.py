"""A run's events as they happen: a stream that begins after the last event its reader has, and ends with the run.

Rule. Every stored event has its number as the stream's `id`, so a reader that comes back misses none and sees none
twice (Last-Event-ID). Beside them come `figures`, which have no number: how the run stands now. One loop in each
process asks about all watched runs at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from uuid import UUID

import orjson
import psycopg
import structlog
from psycopg_pool import PoolTimeout
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from pouch.agents.bill import Bill, bill_of
from pouch.agents.events import RunEvent, events_after
from pouch.agents.meter import counted
from pouch.agents.store import clock, read_run
from pouch.agents.types import OVER
from pouch.base.database import Database
from pouch.base.errors import TooManyRequests

LOOK_EVERY_S = 0.5
BEAT_EVERY_S = 15.0
FIGURES_EVERY_S = 2.0
RETRY_MS = 2_000
STREAMS_MAX = 500
PER_ORGANIZATION_MAX = 20
BATCH = 200

log = structlog.get_logger(__name__)

Shown = Callable[[RunEvent], object]
"""What a reader gets of an event, as JSON."""
ShownBill = Callable[[Bill], object]


@dataclass(eq=False, slots=True)
class _Reader:
    run_id: UUID
    organization_id: UUID
    news: asyncio.Event = field(default_factory=asyncio.Event)


class RunStreams:
    """Opens streams. Run `run` beside the application, and call `stop` when it is to end."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._readers: set[_Reader] = set()
        self._seen: dict[UUID, tuple[int, str]] = {}
        self._somebody = asyncio.Event()
        self._is_stopping = False

    def open(
        self, run_id: UUID, organization_id: UUID, after: int, shown: Shown, shown_bill: ShownBill
    ) -> StreamingResponse:
        """Stream a run's events after one. Raises TooManyRequests when there are enough streams already."""
        of_organization = sum(each.organization_id == organization_id for each in self._readers)
        if len(self._readers) >= STREAMS_MAX or of_organization >= PER_ORGANIZATION_MAX:
            raise TooManyRequests(
                "There are enough streams already. Ask for the events after the last one.", retry_after_s=5
            )
        reader = _Reader(run_id, organization_id)
        self._readers.add(reader)
        self._somebody.set()
        return _Stream(self._events(reader, after, shown, shown_bill), lambda: self._readers.discard(reader))

    async def run(self) -> None:
        """Watch the runs that somebody reads, until cancelled. Survives any outage of the database."""
        while True:
            await self._somebody.wait()
            try:
                await self._look()
            except (psycopg.Error, PoolTimeout, OSError) as error:
                log.warning("agent_streams_blind", error=type(error).__name__)
            await asyncio.sleep(LOOK_EVERY_S)

    def stop(self) -> None:
        """End every stream: the process is going. Readers come back to its successor, with their last number."""
        self._is_stopping = True
        for reader in self._readers:
            reader.news.set()

    async def _look(self) -> None:
        watched = {reader.run_id for reader in self._readers}
        if not watched:
            self._somebody.clear()
            self._seen.clear()
            return
        async with self._database.transaction() as db:
            rows = await db.execute("SELECT id, last_seq, state FROM agent_runs WHERE id = ANY(%s)", (list(watched),))
            now = {run_id: (seq, state) for run_id, seq, state in await rows.fetchall()}
        changed = {run_id for run_id, seen in now.items() if self._seen.get(run_id) != seen}
        self._seen = now
        for reader in self._readers:
            if reader.run_id in changed:
                reader.news.set()

    async def _events(self, reader: _Reader, after: int, shown: Shown, shown_bill: ShownBill) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        yield b"retry: %d\n\n" % RETRY_MS
        beat_at, figures, seq = loop.time() + BEAT_EVERY_S, b"", after
        while not self._is_stopping:
            reader.news.clear()
            async with self._database.transaction() as db:
                run = await read_run(db, reader.run_id)
                found = await events_after(db, reader.run_id, seq, limit=BATCH)
                if run is None:
                    return
                now = await clock(db)
                bill = await bill_of(db, counted(run, now), now)
            for event in found:
                seq = event.seq
                yield b"id: %d\nevent: %b\ndata: %b\n\n" % (seq, event.type.encode(), orjson.dumps(shown(event)))
            written = orjson.dumps(shown_bill(bill))
            if written != figures:
                figures = written
                yield b"event: figures\ndata: %b\n\n" % written
            if len(found) == BATCH:
                continue
            if run.state in OVER and seq >= run.last_seq:
                yield b"event: end\ndata: {}\n\n"
                return
            try:
                wait_s = FIGURES_EVERY_S if run.state == "running" else BEAT_EVERY_S
                async with asyncio.timeout(wait_s):
                    await reader.news.wait()
            except TimeoutError:
                if loop.time() >= beat_at:
                    yield b":\n\n"
                    beat_at = loop.time() + BEAT_EVERY_S


class _Stream(StreamingResponse):
    """A stream that says when it is over, however it ends."""

    def __init__(self, content: AsyncIterator[bytes], on_end: Callable[[], None]) -> None:
        headers = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
        super().__init__(content, headers=headers, media_type="text/event-stream")
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()
