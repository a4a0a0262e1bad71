"""A Postgres of a test session's own, gone when it ends."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

from pouch.embedded.postgres.process import PostgresProcess

HASTY = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off", "max_wal_size": "256MB"}
"""A server that never outlives its machine need not wait for the disk. Tests of crashes start servers of their own."""
MEMORY = Path("/dev/shm")
MEMORY_MIN = 4 << 30
"""Bytes that must be free there, for several servers side by side."""


def quick_folder() -> Path | None:
    """Where files are made and removed quickest, if there is such a place.

    A database is some 900 files. On ext4 a new file costs the more the more were removed within the last seconds, and
    tests make and drop a database each: a third of all their CPU went there.
    """
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_MIN:
        return MEMORY
    return None


@contextmanager
def throwaway_postgres() -> Iterator[str]:
    """A superuser's URL of a new, empty server that runs until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="pouch-test-", dir=quick_folder()) as folder, asyncio.Runner() as runner:
        Path(folder).chmod(0o711)
        postgres = PostgresProcess(Path(folder), settings=HASTY)
        try:
            runner.run(postgres.start())
            yield postgres.url("postgres")
        finally:
            runner.run(postgres.stop())


def at_database(url: str, name: str) -> str:
    """The same server, another database, always as a URL."""
    parts = conninfo_to_dict(url)
    host, port = str(parts.get("host", "")), parts.get("port", 5432)
    user, password = str(parts.get("user", "postgres")), parts.get("password")
    who = f"{user}:{password}" if password else user
    if host.startswith("/"):
        return f"postgresql://{who}@/{name}?host={quote(host, safe='')}&port={port}"
    return f"postgresql://{who}@{host}:{port}/{name}"
