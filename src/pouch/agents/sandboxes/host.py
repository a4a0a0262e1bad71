"""A sandbox on this machine: its place, the sockets that serve it, and whatever starts its programs there."""

import asyncio
import contextlib
import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Protocol, Self

from pouch.agents import inside
from pouch.agents.sandboxes.egress import EgressProxy
from pouch.agents.sandboxes.errors import SandboxFailed
from pouch.agents.sandboxes.place import PROGRAMS, SOURCE, Place, leave_place, remove_place, run_program
from pouch.agents.sandboxes.process import Act, Handles, HostProcess
from pouch.agents.sandboxes.relay import Relay
from pouch.agents.sandboxes.types import Command, Egress, Mount, Notice, Notify, RunSpec
from pouch.agents.sandboxes.visible import Sockets
from pouch.agents.sandboxes.watching import watch_disk
from pouch.base.outside import Lookup

_NOT_PROGRAMS = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True, slots=True)
class Outside:
    """What the operator says about the world around sandboxes."""

    private_hosts: Collection[str] = ()
    """Names that a clone or a set-up may reach though their addresses are not public."""
    lookup: Lookup | None = None
    """Who finds addresses; None: the system."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A program that was started, and how to reach it."""

    process: asyncio.subprocess.Process
    terminate: Act
    kill: Act


class Launcher(Protocol):
    """Starts programs in one place, and acts on all of them."""

    async def open(self) -> None:
        """Set up what outlasts one program. Raises OSError."""
        ...

    async def launch(self, spec: RunSpec, command: Command, sockets: Sockets) -> Launched:
        """Start a program. Raises SandboxFailed."""
        ...

    async def freeze(self) -> None:
        """Stop every program where it is."""
        ...

    async def thaw(self) -> None:
        """Let them go on."""
        ...

    async def end(self) -> None:
        """End whatever still runs, until nothing does."""
        ...

    async def close(self) -> None:
        """Remove what `open` set up."""
        ...


class HostSandbox:
    """One attempt's place, and the relay that serves it."""

    def __init__(self, spec: RunSpec, place: Place, launcher: Launcher, outside: Outside, notify: Notify) -> None:
        self.spec = spec
        self.place = place
        self._launcher = launcher
        self._outside = outside
        self._notify = notify
        self._relay = Relay(spec.gateway, notify, uid=place.account.uid)
        self._gateway = place.sockets / "gateway.sock"
        self._processes: set[HostProcess] = set()
        self._watch: asyncio.Task[None] | None = None
        self._count = 0
        self._is_frozen = False

    async def opened(self) -> Self:
        """Itself, open. What cannot be opened is destroyed. Raises SandboxFailed."""
        try:
            await self._open()
        except BaseException as error:
            await self.destroy()
            if not isinstance(error, OSError):
                raise
            raise SandboxFailed(f"The sandbox cannot be opened: {error.strerror or error}") from error
        return self

    async def _open(self) -> None:
        """Set everything up that outlasts one program."""
        programs = self.place.folder / PROGRAMS
        # Ours may lie where only the worker can pass.
        shutil.copytree(inside.FOLDER, programs, dirs_exist_ok=True, ignore=_NOT_PROGRAMS)
        for path in (programs, *programs.iterdir()):
            path.chmod(0o755)
        self.spec = replace(self.spec, mounts=tuple([await self._passable(each) for each in self.spec.mounts]))
        await self._launcher.open()
        await self._relay.start(self._gateway)
        if not self.place.has_quota:
            watching = watch_disk(self.place, self.spec.limits.disk_bytes, self._disk_is_full)
            self._watch = asyncio.get_running_loop().create_task(watching, name="disk of a sandbox")

    async def execute(self, command: Command) -> HostProcess:
        """Start a program in namespaces of its own."""
        shown = [await self._passable(each) for each in command.mounts]
        command = replace(command, mounts=tuple(shown))

        async def take_back() -> None:
            for mount in shown:
                if mount.source.parent == self.place.folder:
                    with contextlib.suppress(OSError):
                        await run_program("umount", str(mount.source))

        if command.phase == "agent":
            return await self._start(command, Sockets(gateway=self._gateway), take_back)
        egress = command.egress if command.phase == "clone" else self.spec.setup_egress
        if command.phase in {"restore", "collect"} or not egress.hosts:
            return await self._start(command, Sockets(), take_back)
        return await self._start_with_egress(command, egress, take_back)

    async def freeze(self) -> None:
        """Stop every program where it is."""
        self._is_frozen = True
        await self._launcher.freeze()

    async def thaw(self) -> None:
        """Let them go on."""
        if self._is_frozen:
            self._is_frozen = False
            await self._launcher.thaw()

    async def stop(self, grace_s: float) -> None:
        """SIGTERM to whatever runs, SIGKILL to everything after the grace."""
        await self.thaw()
        running = [each for each in self._processes if not each.is_over]
        for each in running:
            await each.terminate()
        if running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await asyncio.gather(*(each.wait() for each in running))
        for each in running:
            await each.kill()
        await self._launcher.end()

    async def leave(self) -> None:
        """Let go of it: nothing runs any more, and another worker may have the place."""
        await self._close()
        leave_place(self.place)

    async def destroy(self) -> None:
        """Remove all of it."""
        await self._close()
        await remove_place(self.place)

    async def _close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self.stop(0)
        await self._relay.stop()
        await self._launcher.close()

    async def _passable(self, mount: Mount) -> Mount:
        """A folder as our account can reach it, whatever the rights of the folders above it."""
        if not self.place.account.is_own:
            return mount
        self._count += 1
        target = self.place.folder / f"{SOURCE}{self._count}"
        try:
            if mount.source.is_dir():
                target.mkdir()
            else:
                target.touch()
            await run_program("mount", "--bind", str(mount.source), str(target))
            await run_program("mount", "-o", "remount,bind,ro,nosuid,nodev", str(target))
        except OSError as error:
            raise SandboxFailed(f"{mount.source.name} cannot be shown to a sandbox: {error}") from error
        return replace(mount, source=target)

    async def _start_with_egress(self, command: Command, egress: Egress, ended: Act) -> HostProcess:
        self._count += 1
        path = self.place.sockets / f"egress-{self._count}.sock"
        proxy = EgressProxy(
            egress,
            self._notify,
            uid=self.place.account.uid,
            private_hosts=self._outside.private_hosts,
            ports=egress.ports,
            lookup=self._outside.lookup,
        )
        await proxy.start(path)

        async def end_both() -> None:
            await proxy.stop()
            await ended()

        return await self._start(command, Sockets(egress=path), end_both)

    async def _start(self, command: Command, sockets: Sockets, ended: Act) -> HostProcess:
        try:
            launched = await self._launcher.launch(self.spec, command, sockets)
        except BaseException:
            await ended()
            raise

        async def forget() -> None:
            self._processes.discard(started)
            await ended()

        handles = Handles(launched.terminate, launched.kill, forget)
        started = HostProcess(launched.process, handles, command.output_bytes_max, command.timeout_s)
        self._processes.add(started)
        return started

    async def _disk_is_full(self) -> None:
        self._notify(Notice("disk_full", "The run wrote more than its disk holds, so it was ended."))
        for each in list(self._processes):
            await each.kill()
