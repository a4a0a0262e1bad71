"""The token refresh of 10,000 signed-in editors, each every 50 seconds: CPU of `serve` and of Postgres, latency."""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from pathlib import Path

import httpx
from bench.parts import machine
from bench.parts.database import Postgres, running_postgres
from bench.parts.tables import percentile, print_table
from bench.parts.targets import free_port, started

from pouch.base.database import Database
from pouch.base.ids import show_id
from pouch.identity.devices import add_device, new_secret
from pouch.identity.people import add_person

GOAL_CORES = 0.5
"""Of `serve` and Postgres together, for as many refreshes a second as were asked for."""
IN_FLIGHT_MAX = 50
"""A busy machine falls behind the rate instead of piling up requests; the CPU of each stays the same."""
START_TIMEOUT_S = 60
BODY = "_is_native=1&organization_id="


def main() -> None:
    """Print what the refreshes took; exit 1 when `serve` and Postgres together ran for half a core or more."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--editors", type=int, default=10_000)
    arguments.add_argument("--rate", type=int, default=200)
    arguments.add_argument("--seconds", type=int, default=50)
    given = arguments.parse_args()
    raise SystemExit(int(asyncio.run(_measure(given)) >= GOAL_CORES))


async def _measure(given: argparse.Namespace) -> float:
    print(f"{machine.description()}; {given.editors:,} editors, {given.rate} refreshes a second for {given.seconds} s")
    with tempfile.TemporaryDirectory(prefix="pouch-bench-") as folder:
        async with running_postgres() as postgres:
            url = await postgres.new_database()
            editors = await _sign_in(url, given.editors)
            return await _refresh(Path(folder), postgres, url, editors, given)


async def _sign_in(url: str, count: int) -> list[tuple[str, str]]:
    editors = []
    async with Database(url, size_max=1) as database:
        for start in range(0, count, 500):
            async with database.transaction() as db:
                for number in range(start, min(start + 500, count)):
                    person = await add_person(db, f"editor-{number}@example.com", None, verified=True)
                    secret = new_secret()
                    device = await add_device(
                        db, person.id, person.organization_id, kind="editor", name="Editor", secret=secret
                    )
                    editors.append((show_id("dev", device), secret))
        async with database.transaction() as db:
            await db.execute("ANALYZE")
    return editors


async def _refresh(
    folder: Path, postgres: Postgres, url: str, editors: list[tuple[str, str]], given: argparse.Namespace
) -> float:
    environment = {
        "POUCH_DATABASE_URL": url,
        "POUCH_PORT": str(port := free_port()),
        "POUCH_DATA_DIR": str(folder / "data"),
        "POUCH_CONFIG": "",
    }
    (folder / "data").mkdir()
    command = [sys.executable, "-P", "-m", "pouch.cli", "serve"]
    with started(command, folder / "log", core=None, environment=environment) as process:
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=30, trust_env=False
        ) as client:
            await _until_ready(client)
            await _ask(client, itertools.cycle(editors), given.rate, 2)
            served, stored = machine.cpu_s(machine.tree(process.pid)), machine.cpu_s(postgres.processes())
            began = time.perf_counter()
            took = await _ask(client, itertools.cycle(editors), given.rate, given.seconds)
            elapsed = time.perf_counter() - began
            serve = machine.cpu_s(machine.tree(process.pid)) - served
            database = machine.cpu_s(postgres.processes()) - stored
    count = len(took)
    each, cores = (serve + database) / count, (serve + database) / count * given.rate
    print_table(
        (
            "refreshes",
            "done per second",
            "p50 / p99 ms",
            "CPU µs each: serve",
            "Postgres",
            f"cores at {given.rate} a second",
        ),
        [
            (
                f"{count:,}",
                f"{count / elapsed:.0f}",
                f"{percentile(took, 0.5) * 1e3:.1f} / {percentile(took, 0.99) * 1e3:.1f}",
                f"{serve / count * 1e6:,.0f}",
                f"{(each - serve / count) * 1e6:,.0f}",
                f"{cores:.2f}",
            )
        ],
    )
    return cores


async def _ask(
    client: httpx.AsyncClient, editors: "itertools.cycle[tuple[str, str]]", rate: int, seconds: int
) -> list[float]:
    """Refresh at this rate, however long the answers take: how long each took, in order of length."""
    took: list[float] = []

    room = asyncio.Semaphore(IN_FLIGHT_MAX)

    async def one(session: str, secret: str) -> None:
        headers = {
            "authorization": f"Bearer {secret}",
            "content-type": "application/x-www-form-urlencoded",
            "user-agent": "Roo-Code 3.52.1",
        }
        began = time.perf_counter()
        answer = await client.post(f"/v1/client/sessions/{session}/tokens", headers=headers, content=BODY)
        took.append(time.perf_counter() - began)
        room.release()
        assert answer.status_code == 200, answer.text

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(rate * seconds):
            if (ahead := began + number / rate - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            await room.acquire()
            group.create_task(one(*next(editors)))
    return sorted(took)


async def _until_ready(client: httpx.AsyncClient) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if (await client.get("/readyz")).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        await asyncio.sleep(0.1)
    raise TimeoutError("serve does not answer")


if __name__ == "__main__":
    main()
