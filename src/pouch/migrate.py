"""Bring a database to this version: forward-only plain SQL, under a lock, by any number of processes."""

import asyncio
import contextlib
import io
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import yoyo

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x706F756368  # "pouch": the advisory lock that one migrating process holds
LOCK_TIMEOUT_S = 300


async def migrate(url: str) -> list[str]:
    """Apply what is missing and return the names of what was applied; an up-to-date database gives [].

    Safe in any number of processes at once: they take turns. Raises TimeoutError when another process holds the
    lock for five minutes.
    """
    return await asyncio.to_thread(_migrate, url)


async def is_current(url: str) -> bool:
    """Whether every migration of this version has been applied."""
    return await asyncio.to_thread(lambda: not _missing(url))


def _migrate(url: str) -> list[str]:
    with _alone(url):
        backend = yoyo.get_backend(_for_yoyo(url))
        try:
            # yoyo prints the rows of every SELECT; our own output stays clean.
            with contextlib.redirect_stdout(io.StringIO()):
                missing = backend.to_apply(yoyo.read_migrations(str(MIGRATIONS)))
                names = [migration.id for migration in missing]
                backend.apply_migrations(missing)
        finally:
            backend.connection.close()
    return names


def _missing(url: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as db:
        known = db.execute("SELECT to_regclass('_yoyo_migration')").fetchone()
        if known is None or known[0] is None:
            applied = set()
        else:
            applied = {row[0] for row in db.execute("SELECT migration_id FROM _yoyo_migration")}
    return [migration.id for migration in yoyo.read_migrations(str(MIGRATIONS)) if migration.id not in applied]


@contextlib.contextmanager
def _alone(url: str) -> Iterator[None]:
    # yoyo's own lock is a row with a process id that a kill -9 leaves behind for ever; an advisory lock dies with its
    # connection. It is polled, because a process that waits inside pg_advisory_lock holds a snapshot open and makes
    # the other's CREATE INDEX CONCURRENTLY wait for it in turn.
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    with psycopg.connect(url, autocommit=True) as guard:
        while (got := guard.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()) is None or not got[0]:
            if time.monotonic() > deadline:
                raise TimeoutError("Another process has been migrating this database for five minutes.")
            time.sleep(0.1)
        yield


def _for_yoyo(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(("postgresql+psycopg", parts.netloc, parts.path, parts.query, ""))
