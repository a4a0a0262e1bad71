"""How long Billing and Usage take on the server, for an organization with 100,000 calls."""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from billing.site import Site, Somebody, opened
from pouch.base.database import Database
from pouch.identity.keys import add_key
from pouch.identity.people import add_person
from pouch.migrate import migrate
from support.busy import make_busy
from support.postgres import at_database, throwaway_postgres

GOAL_MS = 20
PATHS = (
    "/billing",
    "/usage",
    "/usage?days=7",
    "/usage?days=90",
    "/usage?model=pouch%2Fpaid",
    "/billing?kind=calls",
    "/billing?model=pouch%2Fpaid",
    "/billing/buy",
)


def main() -> None:
    """Print the median and the slowest of each page; exit 1 when a first view of Billing or Usage misses the goal."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--calls", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=60)
    arguments.add_argument(
        "--database", help="a superuser's database to make one beside; default: a Postgres of its own"
    )
    given = arguments.parse_args()
    with _database(given.database) as url:
        medians = asyncio.run(_measure(url, given.calls, given.rounds))
    raise SystemExit(int(max(medians["/billing"], medians["/usage"]) > GOAL_MS))


async def _measure(url: str, calls: int, rounds: int) -> dict[str, float]:
    await migrate(url)
    async with opened(url, Path(tempfile.mkdtemp()), sells=False, config="", port=8080) as site:
        await _fill(site, calls)
        print(f"{calls:,} calls; milliseconds on the server, over {rounds} requests each")
        medians = {}
        async with site.browser() as alice:
            for path in PATHS:
                took = [await _time(alice, path) for _ in range(rounds + 1)]
                medians[path] = statistics.median(took[1:])
                size = len((await alice.get(path)).content)
                best, worst = min(took[1:]), max(took[1:])
                print(
                    f"{path:28} quickest {best:6.1f}   median {medians[path]:6.1f}   slowest {worst:6.1f}"
                    f"   first {took[0]:6.1f}   {size / 1000:5.1f} kB"
                )
    return medians


async def _fill(site: Site, calls: int) -> None:
    async with site.database.transaction() as db:
        person = await add_person(db, "busy@harbor.example", None, verified=True)
        keys = [(await add_key(db, person, name))[0].id for name in ("laptop", "ci", "editor")]
    site.people["alice"] = Somebody(person.email, person.organization_id, person.id)
    await site.give("alice", "500")
    async with site.database.transaction() as db:
        await make_busy(db, person.organization_id, person.id, keys, calls=calls)
    async with Database(site.database.url, size_max=1) as database, database.transaction() as db:
        await db.execute("ANALYZE")


async def _time(browser: httpx.AsyncClient, path: str) -> float:
    began = time.perf_counter()
    answer = await browser.get(path)
    assert answer.status_code == 200, answer.text
    return (time.perf_counter() - began) * 1000


@contextmanager
def _database(beside: str | None) -> Iterator[str]:
    if beside is None:
        with throwaway_postgres() as url:
            yield url
        return
    name = f"pouch_bench_{uuid4().hex[:12]}"
    with psycopg.connect(beside, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield at_database(beside, name)
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


if __name__ == "__main__":
    main()
