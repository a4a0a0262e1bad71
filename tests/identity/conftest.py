"""A database of the test's own, and a site on it."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from conftest import at_database
from identity.post import PostOffice
from identity.site import Clock, CountingPasswords, OpenSite, Site
from mail.conftest import relay as relay  # noqa: PLC0414 -- a fixture of the mail room's tests
from mail.fake_relay import FakeRelay
from pouch.base.database import Database
from pouch.identity.closing import Obstacle
from pouch.identity.export import Exporter
from pouch.identity.keyring import KeyRing
from pouch.identity.pages import IdentityPages
from pouch.identity.throttles import Throttles
from pouch.settings import Settings
from pouch.web.application import application
from pouch.web.pages import Web


@pytest.fixture(scope="session")
def identity_database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    """One database for all tests of this room that commit: making one takes longer than most of them."""
    name = f"pouch_identity_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" STRATEGY file_copy')
        yield at_database(postgres_url, name)
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def empty_database_url(identity_database_url: str) -> str:
    """That database with nobody in it. Accounts of the ledger stay behind and belong to nobody."""
    with psycopg.connect(identity_database_url, autocommit=True) as db:
        db.execute(
            """
            TRUNCATE identity_people, identity_organizations, identity_memberships, identity_sessions, identity_keys,
                     identity_first_tickets, identity_devices, identity_tickets, identity_links,
                     identity_places, identity_welcomes, mail_letters
            """
        )
    return identity_database_url


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator[Database]:
    async with Database(empty_database_url, size_max=8) as opened:
        yield opened


@pytest.fixture
def open_site(database: Database, tmp_path: Path, relay: FakeRelay) -> OpenSite:
    """Starts a site; the text goes into its pouch.toml."""

    @asynccontextmanager
    async def start(
        toml: str = "",
        *,
        url: str = "http://127.0.0.1:8080",
        exporters: Mapping[str, Exporter] | None = None,
        obstacles: Sequence[Obstacle] = (),
    ) -> AsyncIterator[Site]:
        config = tmp_path / "pouch.toml"
        config.write_text(toml)
        settings = Settings(config=str(config), public_url=url, data_dir=tmp_path / "data")
        web = Web(settings=settings, templates=[("pouch.identity", "templates")])
        passwords, clock = CountingPasswords(), Clock()
        keys = KeyRing(database, clock=clock)
        pages = IdentityPages(
            web,
            database,
            keys=keys,
            passwords=passwords,
            throttles=Throttles(clock),
            example_model=lambda: "pouch/paid",
            exporters=exporters or {},
            obstacles=obstacles,
        )
        web.find_viewer = pages.find_viewer
        app = application(web, pages.routes(), pages.exception_handlers())
        yield Site(app, database, passwords, clock, keys, url, settings, PostOffice(database, settings, relay))

    return start


@pytest.fixture
async def site(open_site: OpenSite) -> AsyncIterator[Site]:
    async with open_site() as opened:
        yield opened
