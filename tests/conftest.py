"""What every test may ask for: a real Postgres with Pouch's tables, empty."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import hypothesis
import psycopg
import pytest
from playwright.async_api import Browser
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from pouch.base.cycles import look_seldom
from pouch.migrate import migrate
from support.chromium import alone_in, open_chromium
from support.postgres import at_database as at_database  # noqa: PLC0414 -- also for conftests below
from support.postgres import throwaway_postgres
from support.prepared import begin_session, end_session

SLOW = ("journeys", "kills", "scale", "agents", "payments", "topups", "billing", "admin", "roo", "routes", "embedded")
"""Rooms whose files take longest. They begin first, so that none is left to run alone at the end."""


def pytest_configure(config: pytest.Config) -> None:
    look_seldom()
    if not hasattr(config, "workerinput"):
        begin_session()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        end_session()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files, not the tests within one."""
    here = Path(__file__).parent

    def turn(item: pytest.Item) -> int:
        room = item.path.relative_to(here).parts[0] if item.path.is_relative_to(here) else ""
        return SLOW.index(room) if room in SLOW else len(SLOW)

    items.sort(key=turn)


def pytest_collection_finish() -> None:
    """The tests themselves live as long as the process: collections need not look through thousands of them."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where POUCH_TEST_SKIPS=forbidden, as in .ci/run, a test is left out only for a reason that begins with "only"."""
    if os.environ.get("POUCH_TEST_SKIPS") != "forbidden":
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    assert isinstance(reporter, pytest.TerminalReporter)
    skipped = [report for report in reporter.stats.get("skipped", []) if "Skipped: only " not in str(report.longrepr)]
    if skipped:
        reporter.write_line(f"\n{len(skipped)} tests were skipped, and none may be.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


# How long one example takes says more about the machine than about the code.
hypothesis.settings.register_profile(
    "pouch", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("pouch")


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A running Postgres: POUCH_TEST_DATABASE_URL (a superuser's), or an embedded one for this test session."""
    if given := os.environ.get("POUCH_TEST_DATABASE_URL"):
        yield given
        return
    with throwaway_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> Iterator[str]:
    """The name of a migrated, empty database that others are copied from."""
    name = f"pouch_template_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        asyncio.run(migrate(at_database(postgres_url, name)))
        yield name
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def new_database(postgres_url: str, template_database: str) -> Iterator[Callable[[], str]]:
    """Makes databases of a test's own, for tests that commit: `url = new_database()`."""
    made: list[str] = []
    with psycopg.connect(postgres_url, autocommit=True) as server:

        def make() -> str:
            name = f"pouch_test_{uuid4().hex[:12]}"
            server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" STRATEGY file_copy')
            made.append(name)
            return at_database(postgres_url, name)

        yield make
        for name in made:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """One database of the test's own."""
    return new_database()


@pytest.fixture(scope="session")
def shared_database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    name = f"pouch_shared_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" STRATEGY file_copy')
        yield at_database(postgres_url, name)
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def db(shared_database_url: str) -> AsyncIterator[AsyncConnection[TupleRow]]:
    """A connection inside a transaction that is rolled back after the test."""
    connecting = AsyncConnection.connect(shared_database_url, options="-c timezone=UTC")
    async with await connecting as connection, connection.transaction(force_rollback=True):
        yield connection


@pytest.fixture(scope="module")
async def driven_chromium() -> AsyncIterator[Browser]:
    async with open_chromium() as browser:
        yield browser


@pytest.fixture
async def chromium(driven_chromium: Browser) -> AsyncIterator[Browser]:
    """A browser with nobody in it yet: `await chromium.new_context()`."""
    async with alone_in(driven_chromium) as browser:
        yield browser
