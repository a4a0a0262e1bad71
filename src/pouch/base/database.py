"""The connection pool and transactions. One driver (psycopg 3), plain SQL, no ORM."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self, TypeAlias

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

Connection: TypeAlias = AsyncConnection[TupleRow]

STATEMENT_TIMEOUT_S = 15
"""No page, job or command waits longer for one statement. The ledger's writer and migrations set their own."""
RECONNECT_S = 10
"""The pool doubles its pauses between attempts. After this long it gives up, and who asks next begins with short ones
again; left alone it would stay away as long again as the database was."""


class Database:
    """A pool of connections to one Postgres. Open it before use, or use it as an async context manager."""

    def __init__(self, url: str, *, size_max: int = 10, name: str = "pouch") -> None:
        self.url = url
        self._pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=size_max,
            open=False,
            timeout=10,
            max_idle=300,
            reconnect_timeout=RECONNECT_S,
            check=AsyncConnectionPool.check_connection,
            kwargs={
                "application_name": name,
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_S}s -c timezone=UTC",
            },
        )

    async def open(self) -> None:
        """Connect. Waits up to ten seconds for the server and raises PoolTimeout when it does not answer."""
        await self._pool.open(wait=True, timeout=10)

    async def close(self) -> None:
        """Give every connection back."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction: committed at the end of the block, rolled back when it raises."""
        async with self._pool.connection() as db, db.transaction():
            yield db
