"""The gateway with the durable ledger on, beside its peers: CPU, latency added, memory, a database that stalls."""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvloop
from bench.parts import machine, targets
from bench.parts.database import Postgres, audit, running_postgres, writer_backend
from bench.parts.peers import NAMES, PeerMissing, peer
from bench.parts.tables import print_table
from bench.parts.targets import Target

RATES = (30, 100)
STREAMS = (20, 200)
STALL_S = 0.2
STALL_RATE = 300
LONG_REQUESTS = 200_000
LONG_STEPS = 8


@dataclass(frozen=True, slots=True)
class Seen:
    """What the load saw, and how long the target and Postgres ran for it, in seconds."""

    rps: float
    outcomes: dict[str, int]
    events: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    first_p50_ms: float
    first_p99_ms: float
    load_cpu: float
    """The part of its core that the load itself took."""
    target_cpu_s: float
    postgres_cpu_s: float

    @property
    def answered(self) -> int:
        return self.outcomes.get("200", 0)

    @property
    def others(self) -> str:
        """What was not answered in full, in words; empty when there was nothing."""
        return ", ".join(f"{count} times {outcome}" for outcome, count in self.outcomes.items() if outcome != "200")

    @property
    def cpu_us(self) -> float:
        """CPU per answered request, in microseconds."""
        return self.target_cpu_s * 1e6 / max(1, self.answered)

    @property
    def postgres_us(self) -> float:
        return self.postgres_cpu_s * 1e6 / max(1, self.answered)

    @property
    def event_us(self) -> float:
        return self.target_cpu_s * 1e6 / max(1, self.events)


@dataclass(slots=True)
class Figures:
    """Everything that was measured of one target."""

    saturated: Seen
    rates: dict[int, Seen] = field(default_factory=dict)
    streams: dict[int, Seen] = field(default_factory=dict)
    rss_before_mb: float = 0.0
    rss_after_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement needs."""

    options: argparse.Namespace
    folder: Path
    postgres: Postgres
    upstream: Target
    core: int | None
    """The core of the target. Everything else is on the other one."""

    async def load(self, target: Target, *more: str) -> Seen:
        """Let the load run once, and say what it saw and what it cost."""
        postgres = self.postgres.processes()
        target_s, postgres_s = machine.cpu_s(machine.tree(target.pid)), machine.cpu_s(postgres)
        command = [sys.executable, "-P", "-m", "bench.parts.load", str(target.port)]
        command += ["--path", target.path, "--model", target.model, "--key", target.key, *more]
        load = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        told, _ = await load.communicate()
        if load.returncode:
            raise SystemExit(f"The load on {target.name} ended with {load.returncode}.")
        return Seen(
            **orjson.loads(told),
            target_cpu_s=machine.cpu_s(machine.tree(target.pid)) - target_s,
            postgres_cpu_s=machine.cpu_s(postgres) - postgres_s,
        )

    async def measure(self, target: Target) -> Figures:
        """All loads, one after the other."""
        seconds = ("--seconds", str(self.options.seconds))
        before = machine.rss_mb(machine.tree(target.pid))
        await self.load(target, "--connections", "16", "--seconds", str(min(2, self.options.seconds)))
        figures = Figures(await self.load(target, "--connections", str(self.options.connections), *seconds))
        for rate in RATES:
            figures.rates[rate] = await self.load(target, "--connections", "4", "--rate", str(rate), *seconds)
        for streams in STREAMS:
            figures.streams[streams] = await self.load(target, "--stream", "--connections", str(streams), *seconds)
        figures.rss_before_mb, figures.rss_after_mb = before, machine.rss_mb(machine.tree(target.pid))
        return figures

    @asynccontextmanager
    async def pouch(self) -> AsyncIterator[tuple[Target, str]]:
        """Pouch on a new database, whose books must add up at the end."""
        url = await self.postgres.new_database()
        async with targets.pouch(self.folder, url, self.upstream, core=self.core) as target:
            yield target, url
        if found := await audit(url):
            raise SystemExit("The ledger does not add up:\n" + "\n".join(found))


async def main(options: argparse.Namespace) -> None:
    """Every measurement that is asked for."""
    own, other = machine.two_cores()
    print(
        f"{machine.description()}; gateway on core {own}; load, mock upstream and Postgres on core {other}.", flush=True
    )
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pouch-bench-")))
        stack.enter_context(machine.on_core(other))
        postgres = await stack.enter_async_context(running_postgres())
        upstream = await stack.enter_async_context(targets.mock(folder, core=other))
        bench = Bench(options, folder, postgres, upstream, own)
        print(f"Postgres {postgres.version}, fsync on; one account, one key with a limit.\n", flush=True)
        await _compare(bench)
        await _stall(bench)
        if options.long:
            await _long(bench)
    print("\nEvery run of Pouch ended with exact sums and no open hold.")


async def _compare(bench: Bench) -> None:
    found: dict[str, Figures] = {"direct to the mock": await bench.measure(bench.upstream)}
    gaps: list[str] = []
    async with bench.pouch() as (target, _):
        found[target.name] = await bench.measure(target)
    for name in bench.options.peers:
        try:
            async with peer(name, bench.folder, bench.upstream, core=bench.core) as target:
                found[target.name] = await bench.measure(target)
        except PeerMissing as gap:
            gaps.append(f"Not measured: {gap}")
    _print_requests(found, bench.options.connections)
    _print_streams(found)
    print()
    for name, figures in found.items():
        for seen in (figures.saturated, *figures.rates.values(), *figures.streams.values()):
            if seen.others:
                print(f"{name}: {seen.others} beside {seen.answered} answers.")
    print("\n".join(gaps))


def _print_requests(found: dict[str, Figures], connections: int) -> None:
    direct, ours = found["direct to the mock"], found["Pouch"]
    rows: list[Sequence[object]] = []
    for name, figures in found.items():
        busy, rates = figures.saturated, figures.rates.items()
        if figures is direct:
            latencies = [f"{seen.p50_ms:.2f} / {seen.p99_ms:.1f} in all" for _, seen in rates]
            rows.append((name, f"{busy.rps:,.0f}", "", "", "", *latencies, ""))
            continue
        rows.append(
            (
                name,
                f"{busy.rps:,.0f}",
                f"{busy.cpu_us:,.0f}" + (f" + {busy.postgres_us:,.0f} Postgres" if figures is ours else ""),
                f"{1e6 / busy.cpu_us:,.0f}",
                f"{busy.cpu_us / ours.saturated.cpu_us:.2f}",
                *(_added(seen, direct.rates[rate]) for rate, seen in rates),
                f"{figures.rss_before_mb:.0f} → {figures.rss_after_mb:.0f}",
            )
        )
    head = ["", f"requests/s at {connections} connections", "CPU µs/request", "requests/s per core"]
    head += ["Pouch does … times as many", *(f"added p50 / p99 ms at {rate}/s" for rate in RATES), "RSS MB"]
    print_table(head, rows)


def _print_streams(found: dict[str, Figures]) -> None:
    rows: list[Sequence[object]] = []
    for name, figures in found.items():
        cells: list[object] = [name]
        for seen in figures.streams.values():
            cells.append("" if name.startswith("direct") else f"{seen.event_us:,.0f}")
            cells.append(f"{seen.first_p50_ms:.1f} / {seen.first_p99_ms:.1f}")
        rows.append(cells)
    head = [""]
    for streams in STREAMS:
        head += [f"CPU µs/event, {streams} streams", "first byte p50 / p99 ms"]
    print()
    print_table(head, rows)


def _added(seen: Seen, direct: Seen) -> str:
    if not seen.answered:
        return "none answered"
    return f"{seen.p50_ms - direct.p50_ms:.2f} / {seen.p99_ms - direct.p99_ms:.1f}"


async def _stall(bench: Bench) -> None:
    """Stop the writer's backend for a moment under a steady load: nobody may be refused."""
    async with bench.pouch() as (target, url):
        backend = await writer_backend(url)
        more = ("--connections", "64", "--rate", str(STALL_RATE), "--seconds", "3")
        async with asyncio.TaskGroup() as tasks:
            load = tasks.create_task(bench.load(target, *more))
            await asyncio.sleep(1.5)
            os.kill(backend, signal.SIGSTOP)
            try:
                await asyncio.sleep(STALL_S)
            finally:
                os.kill(backend, signal.SIGCONT)
        seen = load.result()
    print(
        f"\nA database that stands still for {STALL_S * 1e3:.0f} ms at {STALL_RATE} requests/s: "
        f"{seen.others or 'nobody refused'}, {seen.answered} answered, the slowest after {seen.max_ms:.0f} ms."
    )


async def _long(bench: Bench) -> None:
    """Memory over many requests."""
    sizes: list[float] = []
    async with bench.pouch() as (target, _):
        for _ in range(LONG_STEPS):
            requests = ("--requests", str(LONG_REQUESTS // LONG_STEPS))
            await bench.load(target, "--connections", str(bench.options.connections), *requests)
            sizes.append(machine.rss_mb(machine.tree(target.pid)))
    told = ", ".join(f"{size:.1f}" for size in sizes)
    print(f"\nRSS in MB after each {LONG_REQUESTS // LONG_STEPS:,} of {LONG_REQUESTS:,} requests: {told}.")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/bench gateway", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="length of each load")
    parser.add_argument("--connections", type=int, default=64, help="of the load that never waits")
    parser.add_argument("--peers", nargs="*", default=NAMES, choices=NAMES, metavar="PEER", help=", ".join(NAMES))
    parser.add_argument("--long", action="store_true", help=f"memory over {LONG_REQUESTS:,} requests too")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(parse()))
