"""A cluster: the data files of one Postgres, made once, guarded by a password."""

import os
import secrets
import shutil
from pathlib import Path

from pouch.embedded.postgres.binaries import Binaries
from pouch.embedded.postgres.errors import PostgresUnavailable
from pouch.embedded.postgres.ways import CLUSTER, Way

SUPERUSER = "postgres"


def cluster_major(data_dir: Path) -> int | None:
    """The major version that wrote the data folder's cluster; None when there is no cluster yet."""
    try:
        return int((data_dir / CLUSTER / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def read_password(data_dir: Path) -> str:
    """The superuser's password: random, made at the first start, in a file for our eyes only."""
    path = data_dir / "postgres.password"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        if cluster_major(data_dir):
            raise PostgresUnavailable(f"{path} is missing; bring it back from a backup") from None
    password = secrets.token_hex(24)
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    return password


def make_cluster(data_dir: Path, way: Way, binaries: Binaries, password: str, private: Path) -> None:
    """Run initdb in a draft folder and move it into place when it is whole, so a crash leaves no half cluster.

    `private` is a folder that only the server's account reads. Raises PostgresUnavailable when initdb fails.
    """
    draft, told = way.folder / f"{CLUSTER}.new", private / "password"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    way.give(draft)
    told.touch(0o600)
    told.write_text(password + "\n")
    way.give(told)
    try:
        code, output = way.run(
            [
                *(str(binaries.folder / "initdb"), "-D", str(draft), "-U", SUPERUSER, f"--pwfile={told}"),
                *("--auth-local=scram-sha-256", "--auth-host=reject"),
                *("--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"),
            ]
        )
    finally:
        told.unlink()
    if code:
        raise PostgresUnavailable(f"initdb: {_last_line(output)}")
    draft.rename(way.cluster)
    if way.folder != data_dir:
        (data_dir / CLUSTER).symlink_to(way.cluster)


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if "error:" in line] or output.split("\n")
    return lines[-1].strip().removeprefix("initdb: error: ")
