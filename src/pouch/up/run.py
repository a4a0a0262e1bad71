"""The course of `pouch up`: folder, database, tables, children, the line that says where to go; and back again."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg

from pouch.base.locks import Lock, try_lock
from pouch.embedded.ends import free_port, prepare_ends
from pouch.embedded.postgres.errors import AlreadyRunning, PostgresUnavailable
from pouch.embedded.postgres.process import PostgresProcess
from pouch.embedded.postgres.running import owned_folder, started_postgres
from pouch.settings import Settings
from pouch.up.announce import announce
from pouch.up.errors import RoleRefused
from pouch.up.keeping import keep_running
from pouch.up.leash import GRACE_S
from pouch.up.ports import check_port
from pouch.up.prepare import prepare
from pouch.up.roles import Leash, Role, role_command

ROLES = ("serve", "work")

Say = Callable[[str], None]


async def up(settings: Settings, *, say: Say, command: Callable[[str], list[str]] = role_command) -> None:
    """Run Pouch until SIGTERM, SIGINT or SIGHUP, then stop the children, then Postgres.

    Raises SettingsError, AlreadyRunning, PostgresUnavailable or RoleRefused when it cannot run at all.
    """
    with contextlib.suppress(asyncio.CancelledError), _cancelled_by_signals():
        async with owned_folder(settings.data_dir), _former_children_gone(settings.data_dir, say) as holding:
            check_port(settings)
            async with _database(settings, say) as (url, postgres):
                ends = prepare_ends(settings.data_dir, url)
                settings = _changed(settings, under_up=str(ends), port=settings.port or free_port())
                for line in await prepare(settings, url):
                    say(line)
                with Leash() as leash:
                    environment = _environment(settings, url)
                    roles = [
                        Role(name, command(name), environment, leash, holding=holding.descriptor) for name in ROLES
                    ]
                    await _keep(roles, postgres, announce(settings, url, say=say), say)
    say("Pouch has stopped.")


async def _keep(
    roles: Sequence[Role], postgres: PostgresProcess | None, announcement: Coroutine[None, None, None], say: Say
) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            if postgres:
                group.create_task(keep_running(_KeptPostgres(postgres), say=say))
            for role in roles:
                group.create_task(_keep_role(role, say))
            group.create_task(announcement)
    except BaseExceptionGroup as several:
        refused, _ = several.split(RoleRefused)
        raise refused.exceptions[0] if refused else several from None


async def _keep_role(role: Role, say: Say) -> None:
    try:
        await role.start()
        await keep_running(role, say=say)
    finally:
        await role.stop()


def _changed(settings: Settings, *, under_up: str, port: int) -> Settings:
    # Not model_copy: it would keep the address that was worked out from the old port.
    return Settings(**settings.model_dump() | {"under_up": under_up, "port": port})


def _environment(settings: Settings, url: str) -> dict[str, str]:
    return os.environ | {
        "POUCH_DATABASE_URL": url,
        "POUCH_PORT": str(settings.port),
        "POUCH_UNDER_UP": str(settings.under_up),
        "PYTHONUNBUFFERED": "1",
    }


class _KeptPostgres:
    """The server as something that is started again."""

    name = "Postgres"
    restart_failures = (PostgresUnavailable, psycopg.Error, OSError)

    def __init__(self, postgres: PostgresProcess) -> None:
        self.start = postgres.start
        self.wait = postgres.wait


@asynccontextmanager
async def _database(settings: Settings, say: Say) -> AsyncIterator[tuple[str, PostgresProcess | None]]:
    """The operator's database, or the embedded one, which runs until the end of the block."""
    if settings.database_url:
        yield settings.database_url, None
        return
    async with started_postgres(settings.data_dir) as postgres:
        if postgres.story:
            say(postgres.story)
        yield postgres.url(), postgres


@asynccontextmanager
async def _former_children_gone(data_dir: Path, say: Say) -> AsyncIterator[Lock]:
    """Wait for the children of an `up` that was killed: they finish what they can and end by themselves."""
    deadline, told = time.monotonic() + GRACE_S * 2, False
    while (lock := try_lock(data_dir / "children.lock")) is None:
        if not told:
            say("Waiting for the processes of an earlier start to end.")
            told = True
        if time.monotonic() > deadline:
            raise AlreadyRunning(f"Processes of an earlier start on {data_dir} do not end. Stop them, then try again.")
        await asyncio.sleep(0.05)
    try:
        yield lock
    finally:
        lock.release()


@contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """Cancel the current task at the first signal; later ones find it stopping already."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def stop() -> None:
        for signal_ in signals:
            loop.add_signal_handler(signal_, lambda: None)
        task.cancel()

    for signal_ in signals:
        loop.add_signal_handler(signal_, stop)
    try:
        yield
    finally:
        for signal_ in signals:
            loop.remove_signal_handler(signal_)
