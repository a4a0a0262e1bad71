"""A Postgres of a bench's own: durable, empty, and gone at the end."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from bench.parts.machine import tree

from pouch.embedded.postgres.process import PostgresProcess
from pouch.ledger.check import check_now
from pouch.migrate import migrate


class Postgres:
    """A running server. Everything that Pouch needs of its durability is on: this is what is measured."""

    def __init__(self, process: PostgresProcess) -> None:
        self._process = process
        with psycopg.connect(self.url("postgres")) as db:
            pid = db.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'").fetchone()
            version = db.execute("SHOW server_version").fetchone()
        assert pid is not None
        assert version is not None
        self.pid = _parent(pid[0])
        self.version: str = version[0]

    def url(self, database: str) -> str:
        return self._process.url(database)

    def processes(self) -> list[int]:
        """The server and its backends, those of now."""
        return tree(self.pid)

    async def new_database(self) -> str:
        """The URL of a new database with Pouch's tables in it, empty and never analysed."""
        name = f"bench_{uuid4().hex[:12]}"
        async with await psycopg.AsyncConnection.connect(self.url("postgres"), autocommit=True) as server:
            await server.execute(f'CREATE DATABASE "{name}"'.encode())
        await migrate(self.url(name))
        return self.url(name)


@asynccontextmanager
async def running_postgres() -> AsyncIterator[Postgres]:
    """A server until the end of the block, on the cores that the caller is on."""
    with tempfile.TemporaryDirectory(prefix="pouch-bench-") as folder:
        Path(folder).chmod(0o711)
        process = PostgresProcess(Path(folder))
        try:
            await process.start()
            yield Postgres(process)
        finally:
            await process.stop()


async def audit(url: str) -> list[str]:
    """Add the ledger up again, and look for holds that were left: sentences, none when all is exact."""
    async with await psycopg.AsyncConnection.connect(url) as db:
        found = await check_now(db)
        rows = await db.execute("SELECT count(*) FROM ledger_holds WHERE state = 'open'")
        row = await rows.fetchone()
        assert row is not None
        return [*found, *([f"{row[0]} holds are still open"] if row[0] else [])]


async def writer_backend(url: str, *, timeout_s: float = 10) -> int:
    """The process id of the backend that a ledger writer posts through."""
    async with asyncio.timeout(timeout_s), await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
        while True:
            rows = await db.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'pouch ledger'")
            row = await rows.fetchone()
            if row is not None:
                return int(row[0])
            await asyncio.sleep(0.05)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
