"""Who uses a data folder: one owner that runs the database, any number of commands that use it meanwhile."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import BaseModel, ValidationError

from pouch.base.locks import Lock, try_lock
from pouch.embedded.postgres.errors import AlreadyRunning

RUNNING = "postgres.json"
POLL_S = 0.02


class Running(BaseModel):
    """What the owner of a data folder tells others about the server that it runs."""

    owner: int
    url: str
    socket: str


def prepare_folder(data_dir: Path) -> None:
    """Make the data folder. Other accounts may pass through it, as Postgres must, but see nothing."""
    if not data_dir.exists():
        data_dir.mkdir(parents=True)
        data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)


def try_own(data_dir: Path, role: str) -> Lock | None:
    """Become the owner of a data folder, as "up" or "command", and say so in the lock's file."""
    lock = try_lock(data_dir / "lock")
    if lock:
        os.ftruncate(lock.descriptor, 0)
        os.pwrite(lock.descriptor, f"{role} {os.getpid()}\n".encode(), 0)
    return lock


def owner(data_dir: Path) -> tuple[str, int]:
    """The role and process of the owner, as it wrote them; ("", 0) before it did."""
    role, _, pid = (data_dir / "lock").read_text().strip().partition(" ")
    return (role, int(pid)) if pid.isdigit() else ("", 0)


@asynccontextmanager
async def own(data_dir: Path, *, patience_s: float) -> AsyncIterator[None]:
    """Own a data folder as `up` does. Waits for a command that runs the database for itself, not for another `up`.

    Raises AlreadyRunning.
    """
    prepare_folder(data_dir)
    deadline = time.monotonic() + patience_s
    while (lock := try_own(data_dir, "up")) is None:
        role, pid = owner(data_dir)
        if role == "up" or time.monotonic() > deadline:
            raise AlreadyRunning(f"Pouch already runs on {data_dir} (process {pid}). Stop it, or set POUCH_DATA_DIR.")
        await asyncio.sleep(POLL_S)
    try:
        yield
    finally:
        lock.release()


@asynccontextmanager
async def using(data_dir: Path, *, shared: bool) -> AsyncIterator[None]:
    """Shared: use a server that another process runs. Not shared: wait until nobody uses ours any more."""
    while (lock := try_lock(data_dir / "users.lock", shared=shared)) is None:  # noqa: ASYNC110 -- the kernel tells nobody
        await asyncio.sleep(POLL_S)
    try:
        yield
    finally:
        lock.release()


def read_running(data_dir: Path) -> Running | None:
    """What the last owner wrote; it may be gone."""
    try:
        return Running.model_validate_json((data_dir / RUNNING).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_running(data_dir: Path, running: Running) -> None:
    """Tell commands where the server is."""
    draft = data_dir / f"{RUNNING}.new"
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(running.model_dump_json())
    draft.replace(data_dir / RUNNING)


def forget_running(data_dir: Path) -> None:
    """No server runs any more."""
    (data_dir / RUNNING).unlink(missing_ok=True)
