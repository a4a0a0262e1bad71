"""A data folder with Pouch's tables in it, made once for a whole test session and copied by whoever needs one.

What a first start does before anything else (initdb, and every migration) takes some three seconds of CPU. The tests of
embedded Postgres and of `pouch up` do it themselves; all others begin with a copy.
"""

import asyncio
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from pouch.embedded.postgres.process import DATABASE, PostgresProcess
from pouch.embedded.postgres.ways import CLUSTER
from pouch.migrate import MIGRATIONS, migrate
from support.postgres import HASTY, quick_folder

PASSWORD = "postgres.password"
_SESSION = "POUCH_TEST_SESSION"


def begin_session() -> None:
    """Let the processes that this one starts share what is made. For the process that begins the tests."""
    os.environ[_SESSION] = str(os.getpid())


def copy_prepared(data_dir: Path) -> None:
    """Make `data_dir` what it is after a first start was stopped, as far as Postgres goes."""
    data_dir.mkdir()
    data_dir.chmod(0o711)
    made = _folder() / "data"
    with _alone():
        if not made.exists():
            # In a thread: who asks may be in the middle of an event loop.
            with ThreadPoolExecutor(1) as aside:
                aside.submit(asyncio.run, _make(made)).result()
    for name in (CLUSTER, PASSWORD):
        # Owners too: the server has an account of its own when we are root.
        subprocess.run(["cp", "-Rp", str(made / name), str(data_dir / name)], check=True)


def end_session() -> None:
    """Remove what was made. For the process that began the tests."""
    shutil.rmtree(_folder(), ignore_errors=True)


async def _make(made: Path) -> None:
    draft = made.with_name("draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    draft.chmod(0o711)
    postgres = PostgresProcess(draft, settings=HASTY)
    try:
        await postgres.start()
        await migrate(postgres.url(DATABASE))
    finally:
        await postgres.stop()
    draft.rename(made)


def _folder() -> Path:
    """One for a session and its tables: whoever changes a migration, as the guards do, gets another."""
    tables = hashlib.sha256(os.environ.get(_SESSION, str(os.getpid())).encode())
    for path in sorted(each for each in MIGRATIONS.iterdir() if each.is_file()):
        tables.update(path.name.encode() + path.read_bytes())
    folder = Path(quick_folder() or tempfile.gettempdir()) / f"pouch-prepared-{tables.hexdigest()[:16]}"
    folder.mkdir(mode=0o711, exist_ok=True)
    folder.chmod(0o711)
    return folder


@contextmanager
def _alone() -> Iterator[None]:
    """Only one process at a time makes it."""
    with (_folder() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
