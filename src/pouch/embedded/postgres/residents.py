"""What is left of an earlier server: found by where it works, ended before the next one starts."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from pouch.embedded.postgres.errors import PostgresUnavailable
from pouch.embedded.postgres.ways import Way

FAST_SHUTDOWN_S = 60
"""A fast shutdown writes a checkpoint, which takes as long as the disk needs."""
IMMEDIATE_SHUTDOWN_S = 10
ORPHANS_S = 5
"""Children whose server was killed see it and leave by themselves, unless a long statement keeps them."""

# Every process of a server works in its data folder. The server's account asks, because even root may not look
# into other accounts' processes in a container. A zombie has no working directory, so it is no resident.
_LIST = """
for process in /proc/[0-9]*; do
    [ "$process/cwd" -ef "$1" ] && read -r name <"$process/comm" && [ "$name" = postgres ] && echo "${process#/proc/}"
done 2>/dev/null
true
"""


async def clear_out(way: Way) -> None:
    """End every process of an earlier server on this cluster and remove its stale lock file.

    Only for the holder of the data folder's lock. Raises PostgresUnavailable when a process cannot be ended.
    """
    server = server_of(way.cluster)
    _reap(server)
    if server and server in residents(way):
        for signal_, patience_s in ((signal.SIGINT, FAST_SHUTDOWN_S), (signal.SIGQUIT, IMMEDIATE_SHUTDOWN_S)):
            _send(server, signal_)
            if await _gone(way, patience_s):
                break
    elif residents(way):
        await _gone(way, ORPHANS_S)
    for pid in residents(way):
        _send(pid, signal.SIGKILL)
    if not await _gone(way, IMMEDIATE_SHUTDOWN_S):
        raise PostgresUnavailable(f"an earlier server on {way.cluster} cannot be ended: {residents(way)}")
    # Its process is gone, and the number in it may be somebody else's by now.
    (way.cluster / "postmaster.pid").unlink(missing_ok=True)


def residents(way: Way) -> list[int]:
    """The processes, other than zombies, of any server on this cluster."""
    if Path("/proc/self/cwd").exists():
        # From inside a new user namespace the processes of another one cannot be seen.
        _, output = replace(way, prefix=()).run(["/bin/sh", "-c", _LIST, "sh", str(way.cluster)])
        return [int(line) for line in output.split() if line.isdigit()]
    server = server_of(way.cluster)
    asked = subprocess.run(["/bin/ps", "-o", "comm=", "-p", str(server)], capture_output=True, text=True, check=False)
    return [server] if server and "postgres" in asked.stdout else []


def server_of(cluster: Path) -> int:
    """The process that a cluster's lock file names, 0 when there is none. It may be dead, or another program by now."""
    try:
        return int((cluster / "postmaster.pid").read_text().partition("\n")[0])
    except (OSError, ValueError):
        return 0


def _reap(pid: int) -> None:
    # As process 1 of a container we inherit the dead, and Postgres takes a zombie for a running server.
    with contextlib.suppress(OSError):
        if pid > 0:
            os.waitpid(pid, os.WNOHANG)


def _send(pid: int, signal_: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal_)


async def _gone(way: Way, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while residents(way):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True
