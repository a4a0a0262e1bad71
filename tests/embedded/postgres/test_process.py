"""The server comes back after everything that can happen to it, with every row."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from pouch.embedded.postgres import process
from pouch.embedded.postgres.binaries import copy_binaries, find_binaries
from pouch.embedded.postgres.errors import PostgresUnavailable
from pouch.embedded.postgres.process import PostgresProcess
from pouch.embedded.postgres.residents import residents
from pouch.embedded.postgres.ways import choose_way
from support.postgres import quick_folder

pytestmark = pytest.mark.anyio


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pouch-test-", dir=quick_folder()) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
async def postgres(data_dir: Path) -> AsyncIterator[PostgresProcess]:
    """A running server with a thousand rows."""
    server = PostgresProcess(data_dir)
    await server.start()
    try:
        with psycopg.connect(server.url()) as db:
            db.execute("CREATE TABLE numbers AS SELECT generate_series(1, 1000) AS number")
        yield server
    finally:
        await server.stop()


def rows(server: PostgresProcess) -> int:
    with psycopg.connect(server.url()) as db:
        found = db.execute("SELECT count(*) FROM numbers").fetchone()
    return found[0] if found else 0


async def test_what_is_committed_survives_a_kill_of_everything(postgres: PostgresProcess, data_dir: Path) -> None:
    """Started again at once, while the dead are still zombies and hold the shared memory."""
    for _ in range(2):
        for pid in residents(choose_way(data_dir)):
            os.kill(pid, signal.SIGKILL)
        await postgres.start()
        assert rows(postgres) == 1000


async def test_children_that_outlive_a_killed_server_do_not_stop_the_next(
    postgres: PostgresProcess, data_dir: Path
) -> None:
    """A backend in the middle of a long statement does not notice."""
    async with await psycopg.AsyncConnection.connect(postgres.url()) as busy:
        statement = asyncio.ensure_future(busy.execute("SELECT pg_sleep(600)"))
        server = int((data_dir / "postgres/postmaster.pid").read_text().split()[0])
        os.kill(server, signal.SIGKILL)
        await postgres.wait()
        await postgres.start()
        assert rows(postgres) == 1000
        with pytest.raises(psycopg.OperationalError):
            await statement


async def test_a_server_whose_owner_was_killed_is_replaced(postgres: PostgresProcess, data_dir: Path) -> None:
    """The next owner shuts it down properly: it has its own socket, and knows who runs."""
    successor = PostgresProcess(data_dir)
    try:
        await successor.start()
        assert rows(successor) == 1000
        assert await postgres.wait() == 0
    finally:
        await successor.stop()


async def test_the_socket_stays_where_it_is(postgres: PostgresProcess) -> None:
    """So that pools of the children find the server that was started again."""
    before = postgres.url()
    await postgres.start()
    assert postgres.url() == before


async def test_a_lock_file_that_names_another_living_process_is_no_obstacle(
    postgres: PostgresProcess, data_dir: Path
) -> None:
    """After a crash the number may have gone to any other program: here, to us."""
    await postgres.stop()
    (data_dir / "postgres/postmaster.pid").write_text(f"{os.getpid()}\n{data_dir}/postgres\n")
    await postgres.start()
    assert rows(postgres) == 1000


async def test_a_crash_while_the_files_were_made_leaves_nothing_in_the_way(data_dir: Path) -> None:
    half = data_dir / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18")
    server = PostgresProcess(data_dir)
    try:
        await server.start()
    finally:
        await server.stop()
    assert not half.exists()


async def test_strangers_need_the_password(postgres: PostgresProcess, data_dir: Path) -> None:
    password = (data_dir / "postgres.password").read_text().strip()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url().replace(password, "guess"))


async def test_it_listens_on_no_port_and_loses_no_commit(postgres: PostgresProcess) -> None:
    with psycopg.connect(postgres.url()) as db:
        shown = [
            (db.execute("SELECT current_setting(%s)", (name,)).fetchone() or ("",))[0]
            for name in ("listen_addresses", "fsync", "synchronous_commit", "full_page_writes", "data_checksums")
        ]
    assert shown == ["", "on", "on", "on", "on"]


async def test_stopping_leaves_no_socket_and_no_process(postgres: PostgresProcess, data_dir: Path) -> None:
    await postgres.stop()
    assert postgres.socket is not None
    assert not postgres.socket.exists()
    assert residents(choose_way(data_dir)) == []


@pytest.mark.usefixtures("postgres")
async def test_a_lost_password_is_named(data_dir: Path) -> None:
    (data_dir / "postgres.password").unlink()
    with pytest.raises(PostgresUnavailable, match=r"postgres\.password is missing"):
        await PostgresProcess(data_dir).start()


async def test_data_of_another_major_version_is_refused(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir()
    (data_dir / "postgres/PG_VERSION").write_text("12")
    with pytest.raises(PostgresUnavailable, match="written by Postgres 12"):
        await PostgresProcess(data_dir).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only for root: becomes another account")
def test_binaries_that_the_account_cannot_read_are_copied_once(data_dir: Path, tmp_path: Path) -> None:
    """A .venv in root's home."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    installed = copy_binaries(find_binaries(None), private)
    way = choose_way(data_dir)
    copies = [process.readable(installed, way) for _ in range(2)]
    assert copies[0] == copies[1]
    assert copies[0].folder.is_relative_to(data_dir)
    assert way.run([str(copies[0].folder / "initdb"), "--version"])[0] == 0
