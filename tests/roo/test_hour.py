"""An hour of an editor that is signed in, on a clock that moves when told to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from pouch.base.database import Database
from pouch.base.ids import show_id
from pouch.base.signed_ids import SignedIds
from pouch.identity.devices import add_device, new_secret, revoke_device
from pouch.identity.people import add_person
from pouch.identity.session_tokens import SessionTokens
from pouch.identity.throttles import Throttles
from pouch.identity.token_ring import TokenRing
from pouch.identity.types import DeviceId, Person
from pouch.roo.clerk import TOKEN_LIFETIME_S, Clerk, Desk
from pouch.roo.cloud_api import CloudApi
from pouch.settings import Settings
from pouch.web.application import application
from pouch.web.pages import Web
from roo.extension import Extension

pytestmark = pytest.mark.anyio
REFRESH_S = 50


class Clock:
    """Both of the editor's clocks: the wall's, and the one that rings measure by."""

    now = datetime(2026, 11, 27, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size_max=4) as opened:
        yield opened


async def test_an_editor_works_for_an_hour_and_stops_when_it_is_signed_out(database: Database, tmp_path: Path) -> None:
    clock = Clock()
    alice, device, secret = await signed_in(database)
    async with site(database, clock, tmp_path) as (http, ring):
        extension = Extension(http, client_token=secret, session_id=show_id("dev", device))
        seen: list[str] = []
        for _ in range(3600 // REFRESH_S):
            assert (await extension.refresh()).status_code == 200
            seen.append(extension.jwt)
            assert (await extension.balance()).status_code == 200
            clock.wait(REFRESH_S - 1)
            assert (await extension.balance()).status_code == 200
            clock.wait(1)
        assert len(set(seen)) == 72

        # A laptop that slept: its token is old, the next one is not.
        clock.wait(3 * 3600)
        assert (await extension.balance()).status_code == 401
        assert (await extension.refresh()).status_code == 200
        assert (await extension.balance()).status_code == 200
        fresh = extension.jwt
        for old in seen:
            extension.jwt = old
            assert (await extension.balance()).status_code == 401

        extension.jwt = fresh
        async with database.transaction() as db:
            await revoke_device(db, alice.id, device)
        await ring.tick()
        assert (await extension.balance()).status_code == 401
        assert (await extension.refresh()).status_code == 401
        assert (await extension.sign_out()).status_code == 401


async def test_a_token_in_wrong_hands_ends_with_its_two_minutes_whatever_it_is_shown_to(
    database: Database, tmp_path: Path
) -> None:
    """Only the client token makes new ones: the bridge gives back the one that it is asked with."""
    clock = Clock()
    _, device, secret = await signed_in(database)
    async with site(database, clock, tmp_path) as (http, _):
        extension = Extension(http, client_token=secret, session_id=show_id("dev", device))
        assert (await extension.refresh()).status_code == 200
        clock.wait(TOKEN_LIFETIME_S - 1)
        bridge = await http.get("/api/extension/bridge/config", headers=extension.as_session())
        assert bridge.status_code == 200
        clock.wait(1)
        extension.jwt = bridge.json()["token"]
        assert (await extension.balance()).status_code == 401


@asynccontextmanager
async def site(database: Database, clock: Clock, data_dir: Path) -> AsyncIterator[tuple[httpx.AsyncClient, TokenRing]]:
    """The sign-in API and the Cloud API, on this clock."""
    settings = Settings(config="", public_url="http://127.0.0.1:8080", data_dir=data_dir)
    tokens = SessionTokens(settings.secret_keys, clock=clock)
    ring = TokenRing(database, tokens, clock=clock.seconds, now=clock)
    desk = Desk(database, SignedIds(settings.secret_keys, "t"), tokens, ring, Throttles(clock.seconds))
    routes = [*Clerk(desk).routes(), *CloudApi(database, ring, site_url=settings.url).routes()]
    app = application(Web(settings=settings), routes)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=settings.url) as http:
        yield http, ring


async def signed_in(database: Database) -> tuple[Person, DeviceId, str]:
    secret = new_secret()
    async with database.transaction() as db:
        alice = await add_person(db, "alice@example.com", None, verified=True)
        device = await add_device(db, alice.id, alice.organization_id, kind="editor", name="Cursor", secret=secret)
    return alice, device, secret
