"""The group writer: operations that arrive while a commit is in flight form the next batch, one commit per batch.

There is one writer per process, on its own direct connection. In words:

- Operations are judged in the order of their arrival. No answer is given before its commit.
- Low load means batches of one; under load the commit in flight is the only thing that makes a batch grow.
- A hold is refused with LedgerBusy when the commit in flight is older than a second, when 2,000 operations wait, or
  when it has waited for two seconds. A capture or release is never refused: there are only as many as holds admitted.
- A hold that would fit if nothing were held waits up to five seconds in line (see `waiting`); one that only a top-up
  under way can make fit, up to ten.
- A hold whose caller has gone, or was told LedgerBusy, is given back as soon as it is admitted.
- Whatever goes wrong with a batch, the connection is thrown away. If it was lost, the outcome is unknown: the same
  batch is posted again, which its ids make safe. If the database refused something, its operations are posted one
  by one, so that one bad operation fails alone.

Plans are pinned: one made while a table was empty would read whole indexes for as long as the process lives
(measured: reference of design §2). The pins are connection options, which a transaction pooler would drop, so the
writer needs a direct connection.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from pouch.base.trips import Trips
from pouch.ledger.errors import LedgerBusy, PostingMismatch
from pouch.ledger.operations import (
    Admitted,
    Answer,
    Capture,
    Captured,
    Closed,
    Hold,
    Mismatch,
    Operation,
    Record,
    Refused,
    Release,
    Transfer,
)
from pouch.ledger.patience import Patience
from pouch.ledger.posting import RecordWriter, post_batch
from pouch.ledger.tickets import Ticket
from pouch.ledger.waiting import Waiting

BATCH_MAX = 500
WAITING_MAX = 2000
IN_FLIGHT_MAX_S = 1.0
HOLD_PATIENCE_S = 2.0
LINE_PATIENCE_S = 5.0
TOP_UP_PATIENCE_S = 10.0
LINE_LOOK_S = 0.25
"""How often the line is judged again for room that another process made."""
POST_TIMEOUT_S = 5.0
RECONNECT_MAX_S = 2.0
RECORDS_MAX = 10_000

_PINS = (
    "-c plan_cache_mode=force_custom_plan -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off "
    "-c statement_timeout=5s -c idle_in_transaction_session_timeout=10s -c timezone=UTC"
)
_LOST = (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError, OSError)

log = structlog.get_logger()


@dataclass(slots=True)
class WriterFigures:
    """What /metrics says of the writer."""

    batches: int = 0
    operations: int = 0
    reconnects: int = 0
    records_dropped: int = 0


class Writer:
    """Posts operations in groups. Run `run()` in the process's task group; use it between its start and its end."""

    def __init__(self, url: str, *, write_records: RecordWriter | None = None, options: str = "") -> None:
        self.figures = WriterFigures()
        self.on_crossed: Callable[[Sequence[UUID]], None] | None = None
        """Told whose threshold was crossed, after the commit. Who is not told finds the crossing."""
        self._url = url
        self._options = f"{_PINS} {options}".strip()
        self._write_records = write_records
        self._queue: deque[Ticket] = deque()
        self._waiting = Waiting()
        self._patience = Patience()
        self._wake = asyncio.Event()
        self._in_flight_since: float | None = None
        self._looked_at = 0.0
        self._records_queued = 0
        self._stopping = False
        self._connection: AsyncConnection[TupleRow] | None = None

    # ------------------------------------------------------------------ asking

    async def hold(self, hold: Hold) -> Admitted | Refused:
        """Set credits aside; the answer is durable. Waits in line up to five seconds when others' holds are in the way.

        Raises LedgerBusy when the database does not keep up: nothing is held then. Raises PostingMismatch when the id
        was used before for another hold.
        """
        self._refuse_if_behind()
        ticket = self._enqueue(hold)
        answer: Answer | None = None
        ticket.patient_until = asyncio.get_running_loop().time() + HOLD_PATIENCE_S
        self._patience.look_after(ticket)
        try:
            answer = await ticket.answer
        finally:
            if answer is None:
                self._give_back_unheard(ticket, hold)
        if isinstance(answer, Mismatch):
            raise PostingMismatch(answer.reason)
        assert isinstance(answer, Admitted | Refused)
        return answer

    def _give_back_unheard(self, ticket: Ticket, hold: Hold) -> None:
        # The caller left, or ran out of patience, between the answer and hearing it. Before the answer, `_answer` does.
        answer = ticket.answer
        is_answered = answer.done() and not answer.cancelled() and answer.exception() is None
        if is_answered and isinstance(answer.result(), Admitted):
            self.release(Release(hold))

    async def capture(self, capture: Capture) -> Captured:
        """Charge a hold; the answer is durable. Never refused and never withdrawn, however long the database takes."""
        answer = await self._enqueue(capture).answer
        if isinstance(answer, Mismatch):
            raise PostingMismatch(answer.reason)
        assert isinstance(answer, Captured)
        return answer

    def release(self, release: Release) -> asyncio.Future[Answer]:
        """Give a hold back. It happens whether or not anybody waits for the answer."""
        return self._enqueue(release).answer

    def record(self, record: object) -> None:
        """Write another room's row soon. While the database is away, rows beyond 10,000 are dropped and counted."""
        if self._records_queued >= RECORDS_MAX:
            self.figures.records_dropped += 1
            return
        self._records_queued += 1
        self._enqueue(Record(record))

    @property
    def queued(self) -> int:
        """How many operations wait for a commit."""
        return len(self._queue)

    @property
    def in_line(self) -> int:
        """How many holds wait for others to be settled."""
        return len(self._waiting)

    @property
    def is_at_rest(self) -> bool:
        """Nothing waits for a commit, none is under way. An age of 0 does not say so: the loop's clock ticks in ms."""
        return not self._queue and self._in_flight_since is None

    @property
    def in_flight_age_s(self) -> float:
        """How long the commit in flight has been under way; 0 when there is none."""
        return 0.0 if self._in_flight_since is None else asyncio.get_running_loop().time() - self._in_flight_since

    @property
    def backend_pid(self) -> int | None:
        """The process id of the writer's database backend, for tests that stop or kill it."""
        return None if self._connection is None or self._connection.closed else self._connection.info.backend_pid

    def _refuse_if_behind(self) -> None:
        if len(self._queue) >= WAITING_MAX or self.in_flight_age_s > IN_FLIGHT_MAX_S or self._stopping:
            raise LedgerBusy

    def _enqueue(self, operation: Operation) -> Ticket:
        ticket = Ticket(operation, asyncio.get_running_loop().create_future())
        self._queue.append(ticket)
        self._wake.set()
        return ticket

    # ----------------------------------------------------------------- posting

    async def run(self) -> None:
        """Post until `stop`, then post what is left and return."""
        try:
            while not (self._stopping and not self._queue):
                await self._sleep_until_asked()
                tickets = self._next_batch()
                if tickets:
                    await self._post_until_answered(tickets)
        finally:
            await self._disconnect()

    async def stop(self) -> None:
        """Take no new holds; `run` ends once every operation under way is posted."""
        self._stopping = True
        self._wake.set()

    async def _sleep_until_asked(self) -> None:
        if not self._queue and not self._stopping:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINE_LOOK_S if self._waiting else None):
                    await self._wake.wait()
        # However busy this process is, what its callers wait for may have come free in another one.
        now = asyncio.get_running_loop().time()
        if self._waiting and now - self._looked_at >= LINE_LOOK_S:
            self._looked_at = now
            self._queue.extendleft(reversed(self._waiting.take_all()))

    def _next_batch(self) -> list[Ticket]:
        queue = self._queue
        batch: list[Ticket] = []
        while queue and len(batch) < BATCH_MAX:
            ticket = queue.popleft()
            if ticket.is_withdrawn:
                continue
            # Asked now and not on arrival: while the line is judged again, nobody stands in it.
            budget = self._waiting.line_for(ticket)
            if budget is None:
                batch.append(ticket)
            else:
                # Somebody came before and still waits for the same credits: stand behind, and be judged with them.
                self._waiting.join(budget, ticket)
        return batch

    async def _post_until_answered(self, tickets: list[Ticket]) -> None:
        loop = asyncio.get_running_loop()
        self._in_flight_since = loop.time()
        delay = 0.0
        try:
            while True:
                try:
                    answers = await self._post([ticket.operation for ticket in tickets])
                except _LOST as error:
                    # The outcome is unknown. Ids make posting the same again safe.
                    log.warning(
                        "ledger connection lost, posting the batch again", error=type(error).__name__, size=len(tickets)
                    )
                    await self._disconnect()
                    self.figures.reconnects += 1
                    await asyncio.sleep(delay)
                    delay = min(RECONNECT_MAX_S, delay * 2 + 0.05)
                    continue
                except psycopg.Error as error:
                    await self._disconnect()
                    if len(tickets) == 1:
                        log.error("ledger operation refused by the database", error=str(error.sqlstate))
                        self._done(tickets)
                        tickets[0].fail(error)
                        return
                    log.error(
                        "batch refused by the database, posting one by one",
                        error=str(error.sqlstate),
                        size=len(tickets),
                    )
                    for ticket in tickets:
                        await self._post_until_answered([ticket])
                    return
                self._done(tickets)
                self._answer(tickets, answers)
                return
        finally:
            self._in_flight_since = None

    def _done(self, tickets: list[Ticket]) -> None:
        self.figures.batches += 1
        self.figures.operations += len(tickets)
        self._records_queued -= sum(isinstance(ticket.operation, Record) for ticket in tickets)

    def _answer(self, tickets: list[Ticket], answers: list[Answer]) -> None:
        loop = asyncio.get_running_loop()
        freed: dict[UUID, None] = {}
        for ticket, answer in zip(tickets, answers, strict=True):
            if isinstance(answer, Refused) and answer.may_wait and ticket.may_stand_in_line and not self._stopping:
                ticket.wait_in_line(answer, loop.time(), TOP_UP_PATIENCE_S if answer.awaits_top_up else LINE_PATIENCE_S)
                self._waiting.join(answer.budget, ticket)
                continue
            if isinstance(answer, Admitted) and ticket.is_withdrawn and ticket.hold is not None:
                self._queue.append(Ticket(Release(ticket.hold), loop.create_future()))
            ticket.settle(answer)
            if isinstance(answer, Captured | Closed):
                freed.update(dict.fromkeys(ticket.freed()))
            elif isinstance(ticket.operation, Transfer) and isinstance(ticket.operation.credit, UUID):
                freed[ticket.operation.credit] = None
        if freed and self._waiting:
            self._queue.extendleft(reversed(self._waiting.take(freed)))

    async def _post(self, operations: list[Operation]) -> list[Answer]:
        async with asyncio.timeout(POST_TIMEOUT_S):
            if self._connection is None or self._connection.closed:
                self._connection = await self._connect()
                self._trips = Trips(self._connection)
            crossed: list[UUID] = []
            answers = await post_batch(self._trips, operations, self._write_records, crossed=crossed)
            await self._trips.commit()
        if crossed and self.on_crossed is not None:
            self.on_crossed(crossed)
        return answers

    async def _connect(self) -> AsyncConnection[TupleRow]:
        return await AsyncConnection.connect(
            self._url,
            autocommit=True,
            options=self._options,
            application_name="pouch ledger",
            tcp_user_timeout=int(POST_TIMEOUT_S * 1000),
        )

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


@contextlib.asynccontextmanager
async def running_writer(url: str, *, write_records: RecordWriter | None = None) -> AsyncIterator[Writer]:
    """A writer for the length of a block, for commands and tests."""
    writer = Writer(url, write_records=write_records)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(writer.run())
        try:
            yield writer
        finally:
            await writer.stop()
