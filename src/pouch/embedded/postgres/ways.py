"""As whom and where a server can run: Postgres refuses root, and other accounts cannot enter every folder."""

import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pouch.embedded.postgres.errors import PostgresUnavailable

CLUSTER = "postgres"
ACCOUNTS = ("postgres", "nobody")
STATE = Path("/var/lib/pouch")

# Secrets in our own environment are no business of another account's process.
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged account of this machine."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Way:
    """How the server's programs are started and where its files lie."""

    folder: Path
    """Holds the cluster and, where the account cannot read the installed ones, a copy of the binaries."""
    account: Account | None = None
    """Whom to become before the program starts; None: stay who we are."""
    prefix: tuple[str, ...] = ()
    """What the command line starts with."""
    story: str = ""
    """One sentence for the operator, empty when nothing is unusual."""

    @property
    def cluster(self) -> Path:
        """The data folder as Postgres understands it."""
        return self.folder / CLUSTER

    def spawn(
        self, command: list[str], *, output: int | IO[bytes], errors: int | IO[bytes] = subprocess.STDOUT
    ) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, so that Ctrl-C in the terminal reaches only us."""
        return subprocess.Popen(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=_environment(),
            cwd="/",
            start_new_session=True,
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
            umask=0o077,
        )

    def run(self, command: list[str]) -> tuple[int, str]:
        """Run a short program to its end: its code, and what it wrote."""
        process = self.spawn(command, output=subprocess.PIPE)
        output, _ = process.communicate()
        return process.returncode, output.decode(errors="replace")

    def give(self, path: Path) -> None:
        """Make a file or folder of ours the account's own."""
        if self.account:
            os.chown(path, self.account.uid, self.account.gid)

    def works(self) -> bool:
        """Whether the account can keep files in the folder."""
        trial = self.folder / f"{CLUSTER}.trial"
        try:
            if not self.folder.exists():
                _make_passable(STATE, self.folder)
            shutil.rmtree(trial, ignore_errors=True)
            trial.mkdir(mode=0o700)
            self.give(trial)
            code, _ = self.run(["/bin/sh", "-c", 'cd "$1" && : >file && rm file', "sh", str(trial)])
        except (OSError, subprocess.SubprocessError):
            return False
        finally:
            shutil.rmtree(trial, ignore_errors=True)
        return code == 0


def _make_passable(*folders: Path) -> None:
    """Make folders that the account may pass through, whatever our umask."""
    for folder in folders:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o711)


def choose_way(data_dir: Path) -> Way:
    """The way of the existing cluster, else the first that works. Raises PostgresUnavailable when none does."""
    cluster = data_dir / CLUSTER
    if cluster.exists():
        return _way_of(cluster)
    if cluster.is_symlink():
        raise PostgresUnavailable(f"{cluster} points to {cluster.readlink()}, which is not there")
    for way in _ways(data_dir):
        if way.works():
            return way
    whom = "no unprivileged account" if os.geteuid() == 0 else f"user {os.geteuid()} (no account of this machine)"
    raise PostgresUnavailable(f"{whom} can keep files in {data_dir}")


def _ways(data_dir: Path) -> Iterator[Way]:
    namespace = _namespace(data_dir)
    if os.geteuid():
        # initdb looks its user up; in a user namespace it finds a name that this machine knows.
        known = _passwd(os.geteuid()) is not None
        yield from [Way(data_dir)] if known else filter(None, [namespace])
        return
    account = _unprivileged()
    if account:
        yield Way(data_dir, account, story=f"Postgres runs as the account {account.name}, in {data_dir / CLUSTER}.")
    if namespace:
        yield namespace
    if account:
        own = STATE / hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
        story = f"Postgres runs as the account {account.name}, in {own / CLUSTER}: it cannot enter {data_dir}."
        yield Way(own, account, story=story)


def _way_of(cluster: Path) -> Way:
    """Files that exist already say whose they are."""
    real = cluster.resolve()
    owner = real.stat().st_uid
    if owner == 0 or _passwd(owner) is None:
        way = _namespace(real.parent) if owner == os.geteuid() else None
        if way is None:
            raise PostgresUnavailable(f"{real} belongs to user {owner}, as whom no server can be started here")
        return way
    if owner == os.geteuid():
        return Way(real.parent)
    if os.geteuid():
        raise PostgresUnavailable(f"{real} belongs to the account {pwd.getpwuid(owner).pw_name}; run Pouch as before")
    account = _account(pwd.getpwuid(owner))
    return Way(real.parent, account, story=f"Postgres runs as the account {account.name}, in {real}.")


def _namespace(folder: Path) -> Way | None:
    """We stay who we are outside and have an unprivileged account's number inside, which is all that Postgres sees."""
    unshare = shutil.which("unshare")
    account = _unprivileged() or next((_account(entry) for entry in pwd.getpwall() if entry.pw_uid), None)
    if unshare is None or account is None:
        return None
    return Way(
        folder,
        prefix=(unshare, "--user", f"--map-user={account.uid}", "--"),
        story=f"Postgres runs in a user namespace, in {folder / CLUSTER}.",
    )


def _unprivileged() -> Account | None:
    for name in ACCOUNTS:
        try:
            return _account(pwd.getpwnam(name))
        except KeyError:
            continue
    return None


def _passwd(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _environment() -> Mapping[str, str]:
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return _ENVIRONMENT | kept
