"""A Postgres of a test session's own, gone when it ends."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

from pouch.embedded.postgres.process import PostgresProcess


@contextmanager
def throwaway_postgres() -> Iterator[str]:
    """A superuser's URL of a new, empty server that runs until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="pouch-test-") as folder, asyncio.Runner() as runner:
        Path(folder).chmod(0o711)
        postgres = PostgresProcess(Path(folder))
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
