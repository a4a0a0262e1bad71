"""The embedded Postgres server as a child process: made, started, waited for, stopped."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg

from pouch.base.processes import ended, stop
from pouch.embedded.postgres.binaries import Binaries, copy_binaries, find_binaries
from pouch.embedded.postgres.cluster import SUPERUSER, cluster_major, make_cluster, read_password
from pouch.embedded.postgres.errors import PostgresUnavailable
from pouch.embedded.postgres.residents import FAST_SHUTDOWN_S, IMMEDIATE_SHUTDOWN_S, clear_out, server_of
from pouch.embedded.postgres.sockets import PORT, private_folder, remove_folder, remove_socket
from pouch.embedded.postgres.ways import CLUSTER, Way, choose_way

START_TIMEOUT_S = 3600
"""Recovery after a crash takes as long as it takes; only a server that is stuck for good is given up."""
BUSY_TIMEOUT_S = 60
"""How long remains of a killed server may keep its shared memory."""
LOG_BYTES_MAX = 5_000_000
DATABASE = "pouch"

_BUSY = ("pre-existing shared memory block", 'postmaster.pid" already exists')


class PostgresProcess:
    """One server on one data folder. The caller holds the folder's lock. May be started again after it ended."""

    def __init__(
        self, data_dir: Path, *, last_socket: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self._settings = settings or {}
        self._data_dir = data_dir.absolute()
        self._log = self._data_dir / "postgres.log"
        self._socket = last_socket
        self._way: Way | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def story(self) -> str:
        """As whom and where it runs, in one sentence; empty when nothing is unusual."""
        return self._way.story if self._way else ""

    @property
    def socket(self) -> Path | None:
        """The folder of the socket. It stays the same when the server is started again."""
        return self._socket

    def url(self, database: str = DATABASE) -> str:
        """How to connect, as the superuser."""
        password = read_password(self._data_dir)
        return f"postgresql://{SUPERUSER}:{password}@/{database}?host={quote(str(self._socket), safe='')}&port={PORT}"

    async def start(self) -> None:
        """Start and return when connections are answered. What is left of an earlier server is ended first.

        Raises PostgresUnavailable when it cannot run. Call `stop` even then.
        """
        if self._way is None:
            self._way = await asyncio.to_thread(choose_way, self._data_dir)
        way = self._way
        binaries = await asyncio.to_thread(readable, find_binaries(cluster_major(self._data_dir)), way)
        password = read_password(self._data_dir)
        self._socket = private_folder(way, self._socket)
        if not (self._data_dir / CLUSTER).exists():
            await asyncio.to_thread(make_cluster, self._data_dir, way, binaries, password, self._socket)
        await clear_out(way)
        if self._process:
            await ended(self._process)
        remove_socket(self._socket)
        await self._launch(way, binaries)
        await self._make_database()

    async def wait(self) -> int:
        """Wait until the server ends and return its code."""
        assert self._process is not None
        return await ended(self._process)

    async def stop(self) -> None:
        """Disconnect everybody and shut down, within a little more than a minute at worst."""
        if self._process and self._process.poll() is None:
            steps = ((signal.SIGINT, FAST_SHUTDOWN_S), (signal.SIGQUIT, IMMEDIATE_SHUTDOWN_S))
            await stop(self._process, steps)
        if self._socket:
            remove_folder(self._socket)

    async def _launch(self, way: Way, binaries: Binaries) -> None:
        deadline = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            _keep_private_and_short(self._log)
            with self._log.open("ab") as log:
                begin = log.tell()
                self._process = way.spawn(self._command(way, binaries), output=log)
            if await self._answers(way, self._process):
                return
            reason = _reason(self._log, begin)
            if time.monotonic() > deadline or not any(text in reason for text in _BUSY):
                raise PostgresUnavailable(reason)
            await asyncio.sleep(0.1)

    def _command(self, way: Way, binaries: Binaries) -> list[str]:
        # The negative control of the crash tests shows that they notice lost commits. Nothing else may set it.
        commit = "off" if os.environ.get("POUCH_TEST_SYNCHRONOUS_COMMIT") == "off" else "on"
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._socket),
            "port": str(PORT),
            "fsync": "on",
            "full_page_writes": "on",
            "synchronous_commit": commit,
            "max_connections": "200",
            "shared_buffers": "256MB",
            "timezone": "UTC",
            "log_checkpoints": "off",
            # Details of errors quote rows, and rows name people.
            "log_error_verbosity": "terse",
            **self._settings,
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [str(binaries.folder / "postgres"), "-D", str(way.cluster), *settings]

    async def _answers(self, way: Way, process: subprocess.Popen[bytes]) -> bool:
        """Wait for the first connection. False when the server ended instead."""
        deadline, pause_s = time.monotonic() + START_TIMEOUT_S, 0.01
        while process.poll() is None:
            # Whoever else may answer on this socket is not the server that we started.
            if server_of(way.cluster) == process.pid and await self._connects():
                return True
            if time.monotonic() > deadline:
                raise PostgresUnavailable(f"it has not answered for {START_TIMEOUT_S // 60} minutes")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 0.2)
        return False

    async def _connects(self) -> bool:
        try:
            await (await psycopg.AsyncConnection.connect(self.url("postgres"), connect_timeout=10)).close()
        except psycopg.OperationalError:
            return False
        return True

    async def _make_database(self) -> None:
        async with await psycopg.AsyncConnection.connect(self.url("postgres"), autocommit=True) as db:
            found = await db.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if await found.fetchone() is None:
                await db.execute(f"CREATE DATABASE {DATABASE}")


def readable(binaries: Binaries, way: Way) -> Binaries:
    """The same binaries, or a copy beside the data where the server's account cannot read them."""
    try:
        if all(way.run([str(binaries.folder / name), "--version"])[0] == 0 for name in ("postgres", "initdb")):
            return binaries
    except PermissionError:
        pass
    return copy_binaries(binaries, way.folder)


def _keep_private_and_short(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".log.1"))
    log.touch(0o600)


def _reason(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").splitlines()
    grave = [line for line in lines if "FATAL:" in line or "PANIC:" in line] or lines or ["it ended without a word"]
    return grave[-1].rpartition("FATAL:")[2].strip()
