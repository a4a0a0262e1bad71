"""Statements that travel together: what is asked is sent when an answer is wanted, in one piece.

psycopg's pipeline sends each statement by itself and goes through the event loop each time. The ledger's writer runs a
dozen for every commit, on the path of every call, and at some 40 microseconds each they cost more than all the rest of
posting. Here a round trip is one write and one wait, whatever it carries.
"""

import re
from collections import deque
from collections.abc import Sequence
from typing import LiteralString, Protocol

from psycopg import AsyncConnection, errors, pq
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.generators import fetch_many, send
from psycopg.rows import TupleRow

from pouch.base.arrays import Packed

_PARAMETER = re.compile("%s")
_INSERT = b"pouch_insert"
# What is inserted from unnest() has one plan only, so it is kept; so are those of its foreign keys, which would be made
# anew for each row. Every other plan is made for its values: one made while a table was empty would read all of it.
_PLANS = (b"SET plan_cache_mode = force_custom_plan", b"SET plan_cache_mode = force_generic_plan")
_FINE = {pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK, pq.ExecStatus.PIPELINE_SYNC}


class Rows(Protocol):
    """What a statement found."""

    async def fetchall(self) -> list[TupleRow]:
        """Every row."""
        ...

    async def fetchone(self) -> TupleRow | None:
        """The next row; None when there is no other."""
        ...


class Executor(Protocol):
    """Runs statements within a transaction: a psycopg connection, or `Trips`."""

    async def execute(
        self, query: LiteralString | bytes, params: Sequence[Packed] | None = None, *, binary: bool
    ) -> Rows:
        """Run a statement. Its parameters stand as %s, and values come and go in wire format."""
        ...


class Trips:
    """A connection of its own in pipeline mode. What lies between two calls of `commit` is one transaction.

    After an error the connection must be closed: what was sent behind the statement that failed has not been read.
    """

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._transformer = Transformer.from_context(connection)
        self._names: dict[str | bytes, bytes] = {}
        self._due: deque[_Answer | None] = deque()
        """Whose answers come next, in order; None for one that nobody reads."""
        self._plans = b""
        self._pgconn.enter_pipeline_mode()

    async def execute(
        self, query: LiteralString | bytes, params: Sequence[Packed] | None = None, *, binary: bool = True
    ) -> "_Answer":
        """Ask for a statement; nothing is sent yet. Errors of the database come out when an answer is read."""
        assert binary
        given = params or ()
        name = self._names.get(query)
        if name is None:
            name = self._prepare(query, given)
        plans = _PLANS[name.startswith(_INSERT)]
        if plans is not self._plans:
            self._plans = plans
            self._pgconn.send_query_params(plans, None)
            self._due.append(None)
        formats = [pq.Format.BINARY] * len(given)
        self._pgconn.send_query_prepared(name, [value.raw for value in given], formats, pq.Format.BINARY)
        answer = _Answer(self)
        self._due.append(answer)
        return answer

    async def commit(self) -> None:
        """Send what is left and commit. Raises psycopg.Error when anything failed: then nothing is changed."""
        self._pgconn.pipeline_sync()
        self._due.append(None)
        await self._connection.wait(self._communicate())

    async def read(self) -> None:
        """Send what was asked and read every answer."""
        self._pgconn.send_flush_request()
        await self._connection.wait(self._communicate())

    def _prepare(self, query: str | bytes, params: Sequence[Packed]) -> bytes:
        text = query.decode() if isinstance(query, bytes) else query
        kind = _INSERT if text.lstrip().startswith("INSERT") else b"pouch"
        name = b"%b_%d" % (kind, len(self._names))
        numbers = iter(range(1, len(params) + 1))
        numbered = _PARAMETER.sub(lambda _: f"${next(numbers)}", text)
        self._pgconn.send_prepare(name, numbered.encode(), [value.oid for value in params])
        self._due.append(None)
        self._names[query] = name
        return name

    def _communicate(self) -> PQGen[None]:
        yield from send(self._pgconn)
        while self._due:
            answer = self._due.popleft()
            for result in (yield from fetch_many(self._pgconn)):
                if result.status not in _FINE:
                    raise errors.error_from_result(result)
                if answer is not None:
                    self._transformer.set_pgresult(result, format=pq.Format.BINARY)
                    answer.rows = self._transformer.load_rows(0, result.ntuples, tuple)


class _Answer:
    """The rows of one statement, once they were read."""

    __slots__ = ("_trips", "rows")

    def __init__(self, trips: Trips) -> None:
        self._trips = trips
        self.rows: list[TupleRow] | None = None

    async def fetchall(self) -> list[TupleRow]:
        if self.rows is None:
            await self._trips.read()
        rows, self.rows = self.rows or [], []
        return rows

    async def fetchone(self) -> TupleRow | None:
        rows = await self.fetchall()
        self.rows = rows[1:]
        return rows[0] if rows else None
