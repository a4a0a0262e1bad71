"""Try what this machine can do, by doing it."""

import asyncio
import os
import platform
import shutil
import tempfile
from pathlib import Path

from pouch.agents.sandboxes.cgroups import Hierarchies
from pouch.agents.sandboxes.seccomp import seccomp_filter
from pouch.agents.sandboxes.types import Capability, Probe

TRIAL_TIMEOUT_S = 20
TRIAL = ("--unshare-all", "--unshare-user", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "true")
UNPRIVILEGED = 65534


async def probe_bubblewrap(groups: Hierarchies) -> Probe:
    """Everything that isolation by bubblewrap rests on, the required things first."""
    is_root = os.geteuid() == 0
    programs = [each for each in ("bwrap", "git", "prlimit", "bash") if shutil.which(each) is None]
    if is_root and shutil.which("setpriv") is None:
        programs.append("setpriv")
    version, _ = await _say("bwrap", "--version")
    works, reason = await _try(is_root=is_root)
    may_limit = sorted(groups.limits)
    has_filter = seccomp_filter() is not None
    quota = is_root and shutil.which("mkfs.ext4") is not None and await _can_loop()
    return Probe(
        "bubblewrap",
        (
            Capability("programs", not programs, f"missing: {', '.join(programs)}" if programs else version, True),
            Capability("user namespaces", works, reason or "every program has namespaces of its own", True),
            Capability("system call filter", has_filter, platform.machine(), True),
            Capability(
                "own account",
                is_root,
                "each sandbox has one that nothing else has"
                if is_root
                else "sandboxes share the worker's account; run the worker as root to give each its own",
            ),
            Capability(
                "control groups",
                len(may_limit) == 3,
                f"limited: {', '.join(may_limit) or 'none'}"
                + ("" if len(may_limit) == 3 else "; the rest by limits of a process, which are coarser"),
            ),
            Capability(
                "freeze", groups.can_freeze, "control groups" if groups.can_freeze else "SIGSTOP to each process"
            ),
            Capability(
                "disk quota",
                quota,
                "a disk of its own, mounted from a file" if quota else "watched every half second, ended when above",
            ),
        ),
    )


async def _try(*, is_root: bool) -> tuple[bool, str]:
    """Start something as an account without rights, as sandboxes are."""
    if shutil.which("bwrap") is None:
        return False, "bubblewrap is not installed"
    words = ["bwrap", *TRIAL]
    if is_root:
        whom = str(UNPRIVILEGED)
        words = ["setpriv", "--reuid", whom, "--regid", whom, "--clear-groups", "--no-new-privs", *words]
    said, code = await _say(*words)
    return code == 0, said


async def _can_loop() -> bool:
    """Mount a small disk."""
    with tempfile.TemporaryDirectory(prefix="pouch-probe-") as folder:
        image, disk = Path(folder, "image"), Path(folder, "disk")
        disk.mkdir()
        image.touch()
        os.truncate(image, 4 * 1024 * 1024)
        _, code = await _say("mkfs.ext4", "-q", "-F", str(image))
        if code == 0:
            _, code = await _say("mount", "-o", "loop", str(image), str(disk))
        if code == 0:
            await _say("umount", str(disk))
        return code == 0


async def _say(*words: str) -> tuple[str, int]:
    """Run a program to its end: what it said, in one line, and its code."""
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin", "LC_ALL": "C"},
        )
    except OSError as error:
        return f"{words[0]}: {error.strerror}", 127
    try:
        async with asyncio.timeout(TRIAL_TIMEOUT_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"{words[0]} did not end", 124
    return " ".join(said.decode(errors="replace").split())[:300], process.returncode or 0
