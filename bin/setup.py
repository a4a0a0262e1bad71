"""Make .venv and install the hashed locks into it, when they changed. Plain Python with venv and pip; see bin/setup."""

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UNFINISHED = VENV / "unfinished"
"""There from the first moment of a new .venv until everything is in it; whoever finds it begins again."""


def main(arguments: list[str]) -> int:
    """Bring .venv up to date. Any number of these may run at once: they take turns."""
    wanted = ["runtime", "dev"] if arguments == ["dev"] else ["runtime"]
    if _is_done(wanted):
        return 0
    try:
        # A lock on the folder itself leaves nothing behind, and ends with this process.
        fcntl.flock(os.open(ROOT, os.O_RDONLY), fcntl.LOCK_EX)
        if not _is_done(wanted):
            _set_up(wanted)
    except subprocess.CalledProcessError:
        print("Pouch cannot be set up: pip could not install the packages, see above.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Pouch cannot be set up in {ROOT}: {error}", file=sys.stderr)
        return 1
    return 0


def _set_up(wanted: list[str]) -> None:
    if UNFINISHED.exists() or (VENV.exists() and not _runs()):
        shutil.rmtree(VENV)
    is_new = not VENV.exists()
    try:
        if is_new:
            print("Setting up Pouch in .venv, once; this takes about a minute.", file=sys.stderr)
            VENV.mkdir()
            UNFINISHED.touch()
            venv.create(VENV, with_pip=True, symlinks=True)
        for name in wanted:
            if not _stamp(name).exists() or _stamp(name).read_text() != _digest(name):
                _install(name)
        _enter()
        UNFINISHED.unlink(missing_ok=True)
    except BaseException:
        if is_new:
            shutil.rmtree(VENV, ignore_errors=True)
        raise


def _install(name: str) -> None:
    lock = ROOT / "requirements" / f"{name}.txt"
    if subprocess.run([PYTHON, "-I", "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        subprocess.run([PYTHON, "-I", "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
    # The lock names every package with its hashes, so there is nothing to resolve.
    options = ["-qq", "--no-input", "--no-user", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    _stamp(name).unlink(missing_ok=True)
    subprocess.run([PYTHON, "-I", "-m", "pip", "install", *options, "-r", lock], check=True)
    _stamp(name).write_text(_digest(name))


def _enter() -> None:
    """Put our own source on the path, and the command `pouch` beside Python (docs/adr/0006-entry-commands.md)."""
    answer = subprocess.run(
        [PYTHON, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    packages = Path(answer.stdout.strip())
    source = os.path.relpath(ROOT / "src", packages.resolve())
    _write(packages / "pouch.pth", f"{source}\n")
    # A "#!" line takes neither spaces nor more than 127 bytes; the shell takes any path.
    _write(VENV / "bin" / "pouch", f'#!/bin/sh\nexec {shlex.quote(str(PYTHON))} -P -m pouch.cli "$@"\n', mode=0o755)


def _write(path: Path, text: str, *, mode: int = 0o644) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(text)
    draft.chmod(mode)
    draft.replace(path)


def _is_done(wanted: list[str]) -> bool:
    stamps = [_stamp(name) for name in wanted]
    return (
        not UNFINISHED.exists()
        and all(stamp.exists() and stamp.read_text() == _digest(stamp.stem) for stamp in stamps)
        and _runs()
    )


def _runs() -> bool:
    """Whether the Python that .venv was made with is still there."""
    try:
        return subprocess.run([PYTHON, "-I", "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _stamp(name: str) -> Path:
    return VENV / f"{name}.installed"


def _digest(name: str) -> str:
    """Changes with the lock, and when the folder moves: a .venv knows where it is."""
    lock = (ROOT / "requirements" / f"{name}.txt").read_bytes()
    return hashlib.sha256(lock + os.fsencode(ROOT)).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
