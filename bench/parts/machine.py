"""What the benches ask of the machine: cores, the time that processes really ran, memory, and how busy it is."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

NANOSECONDS = 1e9


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Run here, and start what is started here, on one core only. None, or a machine without that core: anywhere."""
    before = os.sched_getaffinity(0)
    if core is not None and core in before:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def two_cores() -> tuple[int | None, int | None]:
    """The core of what is measured and the core of everything else; the same when there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (cores[0], cores[0])


def tree(pid: int) -> list[int]:
    """A process and everything that it started and that still runs."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:  # it has just ended
                continue
    return found


def cpu_s(pids: Iterable[int | str]) -> float:
    """How long the processes have run on a core so far, by the scheduler's own clock."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(task.read_text().split()[0])
            except OSError:
                continue
    return total / NANOSECONDS


def rss_mb(pids: Iterable[int]) -> float:
    """The memory that the processes have in use, in MB; what they share counts more than once."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(field.split()[1]) for field in fields if field.startswith("VmRSS:"))
    return total / 1024


def load_average() -> float:
    """How many processes wanted a core in the last minute."""
    return os.getloadavg()[0]


def description() -> str:
    """The machine in one line."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = models[0].partition(":")[2].strip() if models else "unknown processor"
    return f"{len(os.sched_getaffinity(0))} cores ({name}), load {load_average():.1f}"
