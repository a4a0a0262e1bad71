"""How long Billing and Usage take on the server and how large they are, for an organization with 100,000 calls."""

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
from pouch.ledger.lots import accounts_to_snapshot, take_snapshot
from pouch.migrate import migrate
from pouch.web.assets import Assets
from support.busy import make_busy, make_customer
from support.postgres import at_database, throwaway_postgres

GOAL_MS = 20
GOAL_BYTES = 60_000
"""A page with what it loads, as it is sent."""
LOADED = ("css/pouch.css", "js/pouch.js")
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
    """Print the times and the size of each page; exit 1 when Billing or Usage is late, or any page is too large."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--calls", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=60)
    arguments.add_argument(
        "--database", help="a superuser's database to make one beside; default: a Postgres of its own"
    )
    given = arguments.parse_args()
    with _database(given.database) as url:
        medians, largest = asyncio.run(_measure(url, given.calls, given.rounds))
    is_late = max(medians["/billing"], medians["/usage"]) > GOAL_MS
    raise SystemExit(int(is_late or largest > GOAL_BYTES))


async def _measure(url: str, calls: int, rounds: int) -> tuple[dict[str, float], int]:
    """The median of each page, and how many bytes the largest is together with its sheet and script."""
    await migrate(url)
    async with opened(url, Path(tempfile.mkdtemp()), sells=True, config="", port=8080) as site:
        await _fill(site, calls)
        print(f"{calls:,} calls; milliseconds on the server, over {rounds} requests each")
        medians, largest = {}, 0
        async with site.browser() as alice:
            loaded = sum([await _sent(alice, Assets().url(name)) for name in LOADED])
            print(f"sheet and script, as they are sent: {loaded / 1000:.1f} kB")
            for path in PATHS:
                first = await _time(alice, path)
                began = time.process_time()
                took = [await _time(alice, path) for _ in range(rounds)]
                busy = (time.process_time() - began) * 1000 / rounds
                medians[path] = statistics.median(took)
                sizes = [await _sent(alice, path, language) for language in ("en", "de")]
                largest = max(largest, loaded + max(sizes))
                best, worst = min(took), max(took)
                print(
                    f"{path:28} quickest {best:6.1f}   median {medians[path]:6.1f}   slowest {worst:6.1f}"
                    f"   first {first:6.1f}   CPU {busy:5.1f}"
                    f"   {sizes[0] / 1000:5.1f} kB, in German {sizes[1] / 1000:5.1f},"
                    f" with all it loads {(max(sizes) + loaded) / 1000:5.1f}"
                )
    return medians, largest


async def _sent(browser: httpx.AsyncClient, path: str, language: str = "en") -> int:
    """How many bytes the body has on its way."""
    answer = await browser.get(path, headers={"accept-encoding": "gzip", "accept-language": language})
    assert answer.status_code == 200, answer.text
    return answer.num_bytes_downloaded


async def _fill(site: Site, calls: int) -> None:
    async with site.database.transaction() as db:
        person = await add_person(db, "busy@harbor.example", None, verified=True)
        keys = [(await add_key(db, person, name))[0].id for name in ("laptop", "ci", "editor")]
    site.people["alice"] = Somebody(person.email, person.organization_id, person.id)
    await site.give("alice", "5000")
    async with site.database.transaction() as db:
        await make_busy(db, person.organization_id, person.id, keys, calls=calls - calls // 30, days=29, days_ago=1)
        # As it is in the evening: what is left of which credits was kept last night, and the calls of a day came since.
        for account_id in await accounts_to_snapshot(db, 10):
            await take_snapshot(db, account_id)
        await make_busy(db, person.organization_id, person.id, keys, calls=calls // 30, days=1)
        await make_customer(db, person.organization_id, person.id, purchases=60, gifts=25)
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
