"""Sandboxes of bubblewrap: each program of a run in namespaces of its own, all of them on one place."""

import asyncio
import contextlib
import hashlib
import os
import platform
import re
import resource
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from pouch.agents.sandboxes.arguments import ETC, bubblewrap_arguments
from pouch.agents.sandboxes.cgroups import Group, Hierarchies, find_hierarchies
from pouch.agents.sandboxes.errors import SandboxFailed, SandboxUnsafe
from pouch.agents.sandboxes.host import HostSandbox, Launched, Outside
from pouch.agents.sandboxes.place import Place, disk_of, find_place, make_place, names_of_places, sweep_places
from pouch.agents.sandboxes.probing import probe_bubblewrap
from pouch.agents.sandboxes.process import children_of, descendants_of, read_init_pid
from pouch.agents.sandboxes.seccomp import seccomp_filter
from pouch.agents.sandboxes.types import BackendName, Command, Limits, Notice, Notify, Probe, RunSpec
from pouch.agents.sandboxes.visible import Sockets

START_TIMEOUT_S = 30
OPEN_FILES_MAX = 4096
# The first shell joins the groups as the worker; everything behind it is the run's account.
_JOIN = 'for group in $1; do echo 0 > "$group/cgroup.procs" || exit 97; done; shift; exec "$@"'
_FILES = {
    "passwd": "root:x:0:0::/:/bin/false\nagent:x:1000:1000::/home/agent:/bin/bash\n",
    "group": "root:x:0:\nagent:x:1000:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


class Bubblewrap:
    """The default backend: one machine, no daemon."""

    name: BackendName = "bubblewrap"

    def __init__(self, root: Path, *, outside: Outside | None = None, allow_unsafe: bool = False) -> None:
        """`root` holds the places (see `place.places_root`)."""
        self._root = root
        self._outside = outside or Outside()
        self._allow_unsafe = allow_unsafe
        self._probe: Probe | None = None
        self._hierarchies: Hierarchies | None = None

    @property
    def disk(self) -> str:
        """The disk that its places lie on."""
        return disk_of(self._root)

    async def probe(self) -> Probe:
        """Try what this machine can do; once in a process."""
        if self._probe is None:
            self._hierarchies = find_hierarchies()
            self._probe = await probe_bubblewrap(self._hierarchies)
        return self._probe

    async def prepare(self, spec: RunSpec, notify: Notify) -> HostSandbox:
        """Make an empty place."""
        probe = await self.probe()
        if not probe.is_safe:
            lacking = ", ".join(each.name for each in probe.capabilities if each.is_required and not each.is_there)
            if not self._allow_unsafe or shutil.which("bwrap") is None:
                raise SandboxUnsafe(f"This machine cannot keep agents apart from itself: it lacks {lacking}.")
            notify(Notice("unsafe", f"This run is not kept apart from its machine, which lacks {lacking}."))
        place = await make_place(self._root, spec.name, spec.limits, may_mount=os.geteuid() == 0)
        return await self._open(spec, place, notify)

    async def adopt(self, spec: RunSpec, notify: Notify) -> HostSandbox | None:
        """The place that a worker which is gone left behind. Its programs ended with it."""
        await self.probe()
        place = await find_place(self._root, spec.name)
        return await self._open(spec, place, notify) if place is not None else None

    async def leftovers(self) -> Sequence[str]:
        """The names of all places."""
        return names_of_places(self._root)

    async def sweep(self, *, older_than_s: float) -> Sequence[str]:
        """Remove what no living worker has and nobody came for."""
        return await sweep_places(self._root, older_than_s=older_than_s)

    async def _open(self, spec: RunSpec, place: Place, notify: Notify) -> HostSandbox:
        assert self._hierarchies is not None
        # Another Pouch of this machine may have a run of the same name.
        group = Group(self._hierarchies, f"{spec.name}-{hashlib.sha256(os.fsencode(self._root)).hexdigest()[:12]}")
        sandbox = HostSandbox(spec, place, BubbleLauncher(place, group, spec.limits), self._outside, notify)
        return await sandbox.opened()


class BubbleLauncher:
    """Starts bubblewrap, as the run's account and in its groups."""

    def __init__(self, place: Place, group: Group, limits: Limits) -> None:
        self._place = place
        self._group = group
        self._limits = limits
        self._inits: set[int] = set()
        """The first process of each sandbox that runs."""

    async def open(self) -> None:
        """Make the groups, and the files for /etc."""
        etc = self._place.folder / ETC
        etc.mkdir(exist_ok=True)
        etc.chmod(0o755)
        for name, text in _FILES.items():
            (etc / name).write_text(text)
            (etc / name).chmod(0o644)
        self._group.make(self._limits)

    async def launch(self, spec: RunSpec, command: Command, sockets: Sockets) -> Launched:
        """Start bubblewrap, and wait until the sandbox stands."""
        process, init_pid = await self._spawn(spec, command, sockets)
        self._inits.add(init_pid)

        async def terminate() -> None:
            for pid in children_of(init_pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)

        async def kill() -> None:
            # With the first process of a pid namespace all others go.
            for pid in (init_pid, process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

        return Launched(process, terminate, kill)

    async def freeze(self) -> None:
        """By the groups, else by a signal to each process."""
        if not await self._group.freeze():
            self._signal_all(signal.SIGSTOP)

    async def thaw(self) -> None:
        """The same way back."""
        if not await self._group.thaw():
            self._signal_all(signal.SIGCONT)

    async def end(self) -> None:
        """SIGKILL to everything in the groups."""
        self._inits.clear()
        await self._group.end()

    async def close(self) -> None:
        """Remove the groups."""
        await self._group.remove()

    async def _spawn(self, spec: RunSpec, command: Command, sockets: Sockets) -> tuple[asyncio.subprocess.Process, int]:
        """Start bubblewrap: it, and its first process inside. Raises SandboxFailed."""
        info, info_write = os.pipe()
        filter_ = seccomp_filter()
        seccomp = _memory_file("seccomp", filter_) if filter_ is not None else None
        options, program = bubblewrap_arguments(
            spec,
            command,
            self._place,
            sockets,
            info_fd=info_write,
            seccomp_fd=seccomp,
            before=self._before(spec.limits),
        )
        given = _memory_file("options", b"".join(os.fsencode(word) + b"\0" for word in options))
        fds = [info_write, given, *([seccomp] if seccomp is not None else [])]
        try:
            process = await asyncio.create_subprocess_exec(
                *self._outer(spec.limits),
                "bwrap",
                "--args",
                str(given),
                "--",
                *program,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={"PATH": "/usr/bin:/bin:/usr/local/bin:/usr/sbin:/sbin"},
                cwd="/",
                pass_fds=fds,
                start_new_session=True,
            )
        except OSError as error:
            os.close(info)
            raise SandboxFailed(f"A sandbox cannot be started: {error.strerror}") from error
        finally:
            for fd in fds:
                os.close(fd)
        init_pid = read_init_pid(await _read_info(info, process))
        if not init_pid:
            assert process.stderr is not None
            said = (await process.stderr.read(2000)).decode(errors="replace").strip()
            raise SandboxFailed(f"A sandbox cannot be started: {said or process.returncode}")
        return process, init_pid

    def _outer(self, limits: Limits) -> list[str]:
        """What comes before bubblewrap: join the groups, become the run's account, lower the limits of a process."""
        folders = " ".join(map(str, self._group.folders))
        words = ["/bin/sh", "-c", _JOIN, "sh", folders]
        if self._place.account.is_own:
            uid = str(self._place.account.uid)
            words += ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "--no-new-privs", "--inh-caps=-all"]
        files = min(OPEN_FILES_MAX, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        words += ["prlimit", f"--fsize={limits.file_bytes}", f"--nofile={files}", "--core=0"]
        if "pids" not in self._group.limits and self._place.account.is_own:
            # Counted for each account, so it is only ours to set where the account is the run's alone.
            words.append(f"--nproc={limits.processes}")
        if "memory" not in self._group.limits:
            words.append(f"--as={limits.memory_bytes}")
        return [*words, "--"]

    def _before(self, limits: Limits) -> tuple[str, ...]:
        """Where no group counts processes: newer kernels count them in each user namespace by itself."""
        if "pids" in self._group.limits or not counts_in_namespaces():
            return ()
        return ("prlimit", f"--nproc={limits.processes}", "--")

    def _signal_all(self, signal_: signal.Signals) -> None:
        for init_pid in self._inits:
            for pid in descendants_of(init_pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal_)


def counts_in_namespaces() -> bool:
    """Whether the kernel counts the processes of a user namespace apart from its account's others: since 5.14."""
    numbers = re.match(r"(\d+)\.(\d+)", platform.release())
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= (5, 14)


async def _read_info(fd: int, process: asyncio.subprocess.Process) -> bytes:
    """What bubblewrap says of itself, to the end: it closes the pipe once the sandbox stands."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(fd, "rb", 0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            return await reader.read()
    except TimeoutError:
        process.kill()
        return b""
    finally:
        transport.close()


def _memory_file(name: str, content: bytes) -> int:
    fd = os.memfd_create(name, 0)
    left = memoryview(content)
    while left:
        left = left[os.write(fd, left) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
