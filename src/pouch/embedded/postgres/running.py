"""A database for as long as something needs it: the operator's, the one that `up` runs, or our own for a moment."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from pouch.embedded.postgres.errors import PostgresUnavailable
from pouch.embedded.postgres.locks import (
    POLL_S,
    Running,
    forget_running,
    own,
    owner,
    prepare_folder,
    read_running,
    try_own,
    using,
    write_running,
)
from pouch.embedded.postgres.process import PostgresProcess
from pouch.settings import Settings

COMMAND_PATIENCE_S = 60
"""How long `up` waits for commands that run the database for themselves."""


@asynccontextmanager
async def owned_folder(data_dir: Path) -> AsyncIterator[None]:
    """Own the data folder, as `up` does. Raises AlreadyRunning when another `up` does."""
    data_dir = data_dir.absolute()
    with _named_refusals(data_dir):
        async with own(data_dir, patience_s=COMMAND_PATIENCE_S):
            yield


@asynccontextmanager
async def started_postgres(data_dir: Path) -> AsyncIterator[PostgresProcess]:
    """A server that this process runs until the end of the block, known to commands. The caller owns the folder."""
    data_dir = data_dir.absolute()
    last = read_running(data_dir)
    forget_running(data_dir)
    postgres = PostgresProcess(data_dir, last_socket=Path(last.socket) if last else None)
    try:
        await postgres.start()
        write_running(data_dir, Running(owner=os.getpid(), url=postgres.url(), socket=str(postgres.socket)))
        yield postgres
    finally:
        await postgres.stop()
        forget_running(data_dir)


@asynccontextmanager
async def running_postgres(settings: Settings) -> AsyncIterator[str]:
    """The database's URL, for a command: the running one's, or that of a server that runs until the block ends.

    Raises PostgresUnavailable.
    """
    if settings.database_url:
        yield settings.database_url
        return
    data_dir = settings.data_dir.absolute()
    with _named_refusals(data_dir):
        prepare_folder(data_dir)
        async with _found_or_started(data_dir) as url:
            yield url


@asynccontextmanager
async def _found_or_started(data_dir: Path) -> AsyncIterator[str]:
    while True:
        # Taken before we look: from here on a command that runs the server waits for us before it stops it.
        async with using(data_dir, shared=True):
            lock = try_own(data_dir, "command")
            if lock is None and (found := _found(data_dir)):
                yield found.url
                return
        if lock is not None:
            break
        await asyncio.sleep(POLL_S)
    try:
        async with started_postgres(data_dir) as postgres:
            try:
                yield postgres.url()
            finally:
                async with using(data_dir, shared=False):
                    await postgres.stop()
    finally:
        lock.release()


def _found(data_dir: Path) -> Running | None:
    """The running server, if who runs it is who owns the folder now. An owner that is starting has written nothing."""
    running = read_running(data_dir)
    if running is None or owner(data_dir)[1] != running.owner:
        return None
    return running


@contextmanager
def _named_refusals(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        if error.filename is None or not Path(error.filename).is_relative_to(data_dir):
            raise
        raise PostgresUnavailable(f"{error.filename} belongs to another account") from error
