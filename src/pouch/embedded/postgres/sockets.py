"""A short private folder for the server's socket: addresses of more than 107 bytes do not exist."""

import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path

from pouch.embedded.postgres.errors import PostgresUnavailable
from pouch.embedded.postgres.ways import Way

PORT = 5432
"""Not a port, but part of the socket's file name."""
ADDRESS_BYTES_MAX = 103
"""What macOS allows; Linux allows 107."""


def private_folder(way: Way, last: Path | None) -> Path:
    """A folder that only the server's account can enter: the one of the last start if it is still ours, else a new one.

    Raises PostgresUnavailable when no temporary folder of this machine will do.
    """
    if last is not None and _is_ours(way, last):
        return last
    for parent in dict.fromkeys([tempfile.gettempdir(), "/tmp", "/run", "/var/tmp"]):  # noqa: S108 -- random, 0700
        folder = Path(parent) / f"pouch-{secrets.token_hex(6)}"
        if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) > ADDRESS_BYTES_MAX or "," in parent:
            continue
        try:
            folder.mkdir(mode=0o700)
            way.give(folder)
        except OSError:
            continue
        if way.run(["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)])[0] == 0:
            return folder
        folder.rmdir()
    raise PostgresUnavailable("no temporary folder can hold its socket")


def remove_socket(folder: Path) -> None:
    """Remove what a killed server left: its number may belong to another process by now, which stops the next one."""
    for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        (folder / name).unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Leave nothing behind."""
    shutil.rmtree(folder, ignore_errors=True)


def _is_ours(way: Way, folder: Path) -> bool:
    # Others may write in /tmp: a folder that somebody put in the place of ours has another owner or is a link.
    try:
        found = folder.lstat()
    except OSError:
        return False
    owner = way.account.uid if way.account else os.geteuid()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and stat.S_IMODE(found.st_mode) == 0o700
