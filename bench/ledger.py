"""Hold and capture pairs: the group writer beside a row lock per request, and fresh databases beside analysed ones."""

import argparse
import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

import psycopg
import uvloop
from bench.parts import machine
from bench.parts.database import Postgres, audit, running_postgres
from bench.parts.row_lock import RowLock
from bench.parts.tables import percentile, print_table

from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.ledger.accounts import open_account
from pouch.ledger.limits import set_limit
from pouch.ledger.operations import Admitted, Capture, Captured, Hold, Refused, Transfer
from pouch.ledger.posting import post
from pouch.ledger.writer import running_writer

Design = Literal["group writer", "row lock"]
PLENTY = Money.parse("1000000")
HOLD_NANOS_MAX = 1_000_000
WARM_UP_S = 1.0
HEAD = (
    "accounts",
    "clients",
    "design",
    "pairs/s",
    "of the writer's",
    "hold p50 / p99 ms",
    "capture p50 / p99 ms",
    "client CPU µs/pair",
    "Postgres CPU µs/pair",
)


class Ledger(Protocol):
    """The two doors that a call uses."""

    async def hold(self, hold: Hold) -> Admitted | Refused: ...

    async def capture(self, capture: Capture) -> Captured: ...


@dataclass(frozen=True, slots=True)
class Payer:
    """An organization with credits, and a key of it with a limit."""

    organization_id: UUID
    key_id: UUID


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run came to. Latencies in seconds, CPU in seconds per pair."""

    pairs_per_s: float
    hold_s: Sequence[float]
    capture_s: Sequence[float]
    client_cpu_s: float
    postgres_cpu_s: float


@dataclass(slots=True)
class Clients:
    """The clients of one run: each holds, captures what it held, and begins again."""

    ledger: Ledger
    payers: Sequence[Payer]
    hold_s: list[float]
    capture_s: list[float]
    is_over: bool = False

    async def pay_on_and_on(self, seed: int) -> None:
        """One client, until the run is over."""
        rng = random.Random(seed)
        while not self.is_over:
            payer = rng.choice(self.payers)
            amount = rng.randrange(1, HOLD_NANOS_MAX)
            hold = Hold(new_id(), payer.organization_id, amount, (payer.key_id,))
            began = time.perf_counter()
            admitted = await self.ledger.hold(hold)
            held = time.perf_counter()
            assert isinstance(admitted, Admitted), admitted
            await self.ledger.capture(Capture(hold, rng.randrange(1, amount + 1)))
            self.hold_s.append(held - began)
            self.capture_s.append(time.perf_counter() - held)


async def measure(postgres: Postgres, ledger: Ledger, payers: Sequence[Payer], clients: int, seconds: float) -> Figures:
    """Let so many clients pay for so long, after a second to warm up."""
    crowd = Clients(ledger, payers, [], [])
    async with asyncio.TaskGroup() as tasks:
        for seed in range(clients):
            tasks.create_task(crowd.pay_on_and_on(seed))
        await asyncio.sleep(min(WARM_UP_S, seconds))
        crowd.hold_s, crowd.capture_s = [], []
        client, server, began = machine.cpu_s(["self"]), machine.cpu_s(postgres.processes()), time.perf_counter()
        await asyncio.sleep(seconds)
        while not crowd.capture_s:  # noqa: ASYNC110 -- a machine that is too busy for one pair in that time
            await asyncio.sleep(0.05)
        took, pairs = time.perf_counter() - began, len(crowd.capture_s)
        client = machine.cpu_s(["self"]) - client
        server = machine.cpu_s(postgres.processes()) - server
        hold_s, capture_s = crowd.hold_s[:pairs], crowd.capture_s[:pairs]
        crowd.is_over = True
    return Figures(pairs / took, sorted(hold_s), sorted(capture_s), client / pairs, server / pairs)


async def run(postgres: Postgres, design: Design, *, accounts: int, clients: int, seconds: float) -> Figures:
    """One run on a database of its own, which must add up at the end."""
    url = await postgres.new_database()
    payers = await _open_payers(url, accounts)
    figures = await _measure_on(postgres, url, design, payers, clients=clients, seconds=seconds)
    await _must_add_up(url)
    return figures


async def freshness(postgres: Postgres, *, clients: int, seconds: float, rounds: int) -> tuple[float, float]:
    """Pairs per second of the hot account in databases that are new, and in such that were used and then analysed."""
    fresh: list[float] = []
    analysed: list[float] = []
    for _ in range(rounds):
        url = await postgres.new_database()
        payers = await _open_payers(url, 1)
        fresh.append(
            (await _measure_on(postgres, url, "group writer", payers, clients=clients, seconds=seconds)).pairs_per_s
        )
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
            await db.execute("VACUUM ANALYZE")
        analysed.append(
            (await _measure_on(postgres, url, "group writer", payers, clients=clients, seconds=seconds)).pairs_per_s
        )
        await _must_add_up(url)
    return max(fresh), max(analysed)


async def _measure_on(  # noqa: PLR0913 -- everything that makes two runs differ
    postgres: Postgres, url: str, design: Design, payers: Sequence[Payer], *, clients: int, seconds: float
) -> Figures:
    ledger: AbstractAsyncContextManager[Ledger] = running_writer(url) if design == "group writer" else RowLock(url)
    async with ledger as open_ledger:
        return await measure(postgres, open_ledger, payers, clients, seconds)


async def _open_payers(url: str, accounts: int) -> list[Payer]:
    payers = [Payer(new_id(), new_id()) for _ in range(accounts)]
    async with await psycopg.AsyncConnection.connect(url) as db, db.pipeline():
        for payer in payers:
            await open_account(db, payer.organization_id)
            await set_limit(db, payer.key_id, kind="key", cap=PLENTY)
        grants = [
            Transfer(f"grant:{payer.key_id}", "promo", payer.organization_id, PLENTY.nanos, "grant") for payer in payers
        ]
        for begin in range(0, accounts, 500):
            await post(db, grants[begin : begin + 500])
    return payers


async def _must_add_up(url: str) -> None:
    if found := await audit(url):
        raise SystemExit("The ledger does not add up:\n" + "\n".join(found))


async def main(options: argparse.Namespace) -> None:
    """Every run, and its table."""
    own, other = machine.two_cores()
    print(f"{machine.description()}; clients and writer on core {own}, Postgres on core {other}.", flush=True)
    with machine.on_core(other):
        server = running_postgres()
        postgres = await server.__aenter__()
    try:
        with machine.on_core(own):
            await _compare(postgres, options)
    finally:
        await server.__aexit__(None, None, None)


async def _compare(postgres: Postgres, options: argparse.Namespace) -> None:
    print(f"Postgres {postgres.version}, fsync on.\n", flush=True)
    rows: list[Sequence[object]] = []
    rates: dict[tuple[Design, int, int], float] = {}
    designs: tuple[Design, ...] = ("group writer", "row lock")
    for accounts in options.accounts:
        for clients in options.clients:
            for design in designs:
                found = await run(postgres, design, accounts=accounts, clients=clients, seconds=options.seconds)
                rates[design, accounts, clients] = found.pairs_per_s
                times = rates["group writer", accounts, clients] / found.pairs_per_s
                rows.append(
                    (
                        f"{accounts:,}",
                        f"{clients:,}",
                        design,
                        f"{found.pairs_per_s:,.0f}",
                        "" if design == "group writer" else f"1/{times:.1f}",
                        _milliseconds(found.hold_s),
                        _milliseconds(found.capture_s),
                        f"{found.client_cpu_s * 1e6:.1f}",
                        f"{found.postgres_cpu_s * 1e6:.1f}",
                    )
                )
    print_table(HEAD, rows)
    fresh, analysed = await freshness(
        postgres, clients=options.clients[0], seconds=options.seconds, rounds=options.rounds
    )
    print(f"\nFresh database {fresh:,.0f} pairs/s, analysed {analysed:,.0f}: ratio {fresh / analysed:.2f}.")
    print("Every run ended with exact sums and no open hold.")


def _milliseconds(latencies_s: Sequence[float]) -> str:
    return f"{percentile(latencies_s, 0.5) * 1e3:.2f} / {percentile(latencies_s, 0.99) * 1e3:.2f}"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/bench ledger", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="length of each run")
    parser.add_argument("--accounts", type=int, nargs="+", default=[1, 10_000])
    parser.add_argument("--clients", type=int, nargs="+", default=[64, 1_000])
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison of fresh and analysed databases")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(parse()))
