"""The emulators as programs of their own: installed once from their locks, and run on loopback until they are let go.

Neither is imported by anything of ours: emulate is a Node program, and localstripe, which is GPL, has an environment of
its own in `.cache`.
"""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.emulate import FOLDER, emulated
from support.node import NodeFolder

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "localstripe"
INSTALL_TIMEOUT_S = 180
WEBHOOK_SECRET = "whsec_of_the_emulators"


class CannotInstall(Exception):
    """No package index is reached from here."""


@contextmanager
def emulate(webhook_url: str) -> Iterator[str]:
    """emulate's Stripe service, which posts its events there: its address. Raises CannotInstall."""
    try:
        NodeFolder(FOLDER).install()
    except (AssertionError, subprocess.TimeoutExpired) as error:
        raise CannotInstall from error
    webhook = {"url": webhook_url, "events": ["*"], "secret": WEBHOOK_SECRET}
    with emulated("stripe", {"stripe": {"webhooks": [webhook]}}) as url:
        yield url


@contextmanager
def localstripe() -> Iterator[str]:
    """localstripe: its address. Raises CannotInstall."""
    with _running([str(_localstripe_python()), "-I", str(HERE / "localstripe" / "run.py")]) as url:
        yield url


@contextmanager
def _running(command: Sequence[str]) -> Iterator[str]:
    # No proxy stands between processes of one machine.
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url: str = json.loads(process.stdout.readline())
        yield url
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _localstripe_python() -> Path:
    """Install what the locks name, unless it is there. Any number of these may run at once."""
    locks = [HERE / "localstripe" / name for name in ("build.txt", "wanted.txt")]
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks) + os.fsencode(CACHE)).hexdigest()
    stamp, python = CACHE / "installed", CACHE / "bin" / "python"
    CACHE.parent.mkdir(exist_ok=True)
    folder = os.open(CACHE.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == digest:
            return python
        options = ["-q", "--no-input", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        install = [str(python), "-I", "-m", "pip", "install", *options]
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(CACHE)],
            *([*install, "--no-build-isolation", "-r", str(lock)] for lock in locks),
        ):
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
            if done.returncode:
                raise CannotInstall(done.stderr)
        stamp.write_text(digest)
    except subprocess.TimeoutExpired as error:
        raise CannotInstall from error
    else:
        return python
    finally:
        os.close(folder)
