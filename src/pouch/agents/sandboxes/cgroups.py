"""Control groups: how much memory, how many processes and cores a sandbox may have, and the switch that freezes it.

Version 2, version 1 and both at once are known. Where none may be written, bubblewrap.py falls back to resource
limits of the process, which are coarser and are named so by `pouch sandbox probe`.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pouch.agents.sandboxes.types import Limits

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
PARENT = "pouch-agents"
PERIOD_US = 100_000
FREEZE_TIMEOUT_S = 5
END_TIMEOUT_S = 10
POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where groups can be made on this machine; a controller that is not named is not there."""

    unified: Path | None = None
    """A writable folder of version 2."""
    unified_controllers: frozenset[str] = frozenset()
    v1: dict[str, Path] = field(default_factory=dict)
    """Version 1's folders by controller."""

    @property
    def limits(self) -> frozenset[str]:
        """Which of memory, pids and cpu can be limited."""
        return (self.unified_controllers | self.v1.keys()) & {"memory", "pids", "cpu"}

    @property
    def can_freeze(self) -> bool:
        """Whether every process of a sandbox can be stopped where it is."""
        return self.unified is not None or "freezer" in self.v1


def find_hierarchies() -> Hierarchies:
    """Try where this process may make groups of its own."""
    own = dict(_own_groups())
    v1: dict[str, Path] = {}
    for controller in ("memory", "pids", "cpu", "freezer"):
        base = ROOT / controller
        if (base / "cgroup.procs").exists() and not (base / "cgroup.controllers").exists():
            # A group below our own may be limited by it; the top is better where we may write there.
            for place in (base, base / own.get(controller, "").lstrip("/")):
                if _can_make(place / PARENT):
                    v1[controller] = place / PARENT
                    break
    for top in (ROOT, ROOT / "unified"):
        if (top / "cgroup.controllers").exists():
            group = top / own.get("", "").lstrip("/")
            # With systemd's DelegateSubgroup= our own group is a leaf, and its parent is ours to divide.
            for place in (group, group.parent):
                if place.is_relative_to(top) and _can_make(place / PARENT):
                    return Hierarchies(place / PARENT, _delegated(place), v1)
    return Hierarchies(v1=v1)


class Group:
    """The groups of one sandbox."""

    def __init__(self, hierarchies: Hierarchies, name: str) -> None:
        self._hierarchies = hierarchies
        self._v1 = {controller: place / name for controller, place in hierarchies.v1.items()}
        self._unified = hierarchies.unified / name if hierarchies.unified is not None else None

    @property
    def folders(self) -> list[Path]:
        """Where a process writes its number to join."""
        return list(dict.fromkeys([*self._v1.values(), *([self._unified] if self._unified else [])]))

    @property
    def limits(self) -> frozenset[str]:
        """Which of memory, pids and cpu it limits."""
        return self._hierarchies.limits

    def make(self, limits: Limits) -> None:
        """Make the groups and set what they may take. Repeats safely."""
        for folder in self.folders:
            folder.mkdir(exist_ok=True)
        if (memory := self._v1.get("memory")) is not None:
            _write(memory / "memory.limit_in_bytes", limits.memory_bytes)
            # Only there where swap is counted.
            with contextlib.suppress(OSError):
                _write(memory / "memory.memsw.limit_in_bytes", limits.memory_bytes)
        if (pids := self._v1.get("pids")) is not None:
            _write(pids / "pids.max", limits.processes)
        if (cpu := self._v1.get("cpu")) is not None:
            _write(cpu / "cpu.cfs_period_us", PERIOD_US)
            _write(cpu / "cpu.cfs_quota_us", limits.cpu_millis * PERIOD_US // 1000)
        if self._unified is not None:
            self._make_unified(self._unified, limits)

    def pids(self) -> set[int]:
        """Whoever is in it."""
        found: set[int] = set()
        for folder in self.folders:
            with contextlib.suppress(OSError):
                found.update(map(int, (folder / "cgroup.procs").read_text().split()))
        return found

    async def freeze(self) -> bool:
        """Stop everything in it. False when this machine cannot."""
        return await self._set_frozen(frozen=True)

    async def thaw(self) -> bool:
        """Let everything go on. False when this machine cannot."""
        return await self._set_frozen(frozen=False)

    def kill(self) -> None:
        """Send SIGKILL to everything in it, also to what is being started right now, where the kernel can."""
        if self._unified is not None:
            with contextlib.suppress(OSError):
                _write(self._unified / "cgroup.kill", 1)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)

    async def end(self) -> None:
        """SIGKILL to everything in it, until nothing is there any more."""
        deadline = time.monotonic() + END_TIMEOUT_S
        while self.pids() and time.monotonic() < deadline:
            self.kill()
            await asyncio.sleep(POLL_S)

    async def remove(self) -> None:
        """Remove the groups; whatever is in them is ended."""
        deadline = time.monotonic() + FREEZE_TIMEOUT_S
        await self.thaw()
        for folder in self.folders:
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:
                    if time.monotonic() > deadline:
                        break
                    self.kill()
                    await asyncio.sleep(POLL_S)

    def _make_unified(self, folder: Path, limits: Limits) -> None:
        controllers = self._hierarchies.unified_controllers
        if "memory" in controllers:
            _write(folder / "memory.max", limits.memory_bytes)
            with contextlib.suppress(OSError):
                _write(folder / "memory.swap.max", 0)
        if "pids" in controllers:
            _write(folder / "pids.max", limits.processes)
        if "cpu" in controllers:
            _write(folder / "cpu.max", f"{limits.cpu_millis * PERIOD_US // 1000} {PERIOD_US}")

    async def _set_frozen(self, *, frozen: bool) -> bool:
        try:
            if self._unified is not None and (self._unified / "cgroup.freeze").exists():
                _write(self._unified / "cgroup.freeze", int(frozen))
                wanted, file = f"frozen {int(frozen)}", self._unified / "cgroup.events"
            elif (freezer := self._v1.get("freezer")) is not None:
                wanted, file = "FROZEN" if frozen else "THAWED", freezer / "freezer.state"
                _write(file, wanted)
            else:
                return False
        except FileNotFoundError:
            return False
        deadline = time.monotonic() + FREEZE_TIMEOUT_S
        while wanted not in file.read_text() and time.monotonic() < deadline:  # noqa: ASYNC110 -- no event tells of it
            await asyncio.sleep(POLL_S)
        return True


def _own_groups() -> Iterator[tuple[str, str]]:
    try:
        lines = OWN.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _can_make(folder: Path) -> bool:
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return False
    return os.access(folder / "cgroup.procs", os.W_OK)


def _delegated(place: Path) -> frozenset[str]:
    """Pass the controllers on to our groups, as far as we may: those that they have then."""
    for controller in ("memory", "pids", "cpu"):
        for folder in (place, place / PARENT):
            with contextlib.suppress(OSError):
                _write(folder / "cgroup.subtree_control", f"+{controller}")
    try:
        return frozenset((place / PARENT / "cgroup.subtree_control").read_text().split())
    except OSError:
        return frozenset()


def _write(file: Path, value: int | str) -> None:
    file.write_text(str(value))
