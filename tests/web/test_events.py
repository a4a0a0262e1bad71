"""The event stream over a real socket: what it tells, whom it refuses, and when it ends."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import httpx
import psycopg
import pytest
from starlette.requests import Request

from pouch.base.ids import new_id, show_id
from pouch.settings import Settings
from pouch.web import events
from pouch.web.application import application
from pouch.web.events import Streams
from pouch.web.pages import Web
from pouch.web.viewer import Viewer
from support.cards import serving

pytestmark = pytest.mark.anyio

LINES_MAX = 40


@dataclass
class Somebody:
    organization_id: UUID
    email: str = "alice@harbor.example"
    person_id: UUID = field(default_factory=new_id)
    session_id: UUID = field(default_factory=new_id)
    is_operator: bool = False
    is_verified: bool = True


class Place:
    """A site that has nothing but the stream, and the state that it tells of."""

    def __init__(self) -> None:
        self.harbor, self.carols = new_id(), new_id()
        self.people = {"alice": Somebody(self.harbor), "bob": Somebody(self.harbor), "carol": Somebody(self.carols)}
        self.states: dict[UUID, dict[str, str]] = {
            self.harbor: {"balance": "$8.11", "ledger": "7"},
            self.carols: {"balance": "$1.00"},
        }
        self.looked: list[list[UUID]] = []
        self.is_down = False
        web = Web(settings=Settings(config=""))
        web.find_viewer = self.find_viewer
        self.streams = Streams(web, self.look, look_every_s=0.02, beat_every_s=0.2)
        self.app = application(web, self.streams.routes())

    async def find_viewer(self, request: Request) -> Viewer | None:
        return self.people.get(request.cookies.get("pouch", ""))

    async def look(self, organization_ids: Sequence[UUID]) -> Mapping[UUID, Mapping[str, str]]:
        if self.is_down:
            raise psycopg.OperationalError("gone")
        self.looked.append(list(organization_ids))
        return {each: dict(self.states[each]) for each in organization_ids}

    def path(self, name: str) -> str:
        return f"/events?of={show_id('org', self.people[name].organization_id)}"


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Place, str]]:
    place = Place()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with serving(place.app, listener) as url:
            loop = asyncio.create_task(place.streams.run())
            try:
                yield place, url
            finally:
                place.streams.stop()
                loop.cancel()
                await asyncio.wait([loop])


@asynccontextmanager
async def listening(place: Place, url: str, name: str = "alice") -> AsyncIterator[AsyncIterator[str]]:
    """The lines of a stream as they come; empty ones left out."""
    async with (
        httpx.AsyncClient(base_url=url, cookies={"pouch": name}, timeout=10) as client,
        client.stream("GET", place.path(name)) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store, no-transform"
        assert answer.headers["x-accel-buffering"] == "no"

        async def lines() -> AsyncIterator[str]:
            async for line in answer.aiter_lines():
                if line:
                    yield line

        yield lines()


async def until(lines: AsyncIterator[str], wanted: str) -> list[str]:
    """Everything up to this line."""
    seen = []
    for _ in range(LINES_MAX):
        seen.append(await anext(lines))
        if seen[-1] == wanted:
            return seen
    raise AssertionError(seen)


async def test_a_stream_begins_with_everything_and_then_tells_what_changed() -> None:
    async with opened() as (place, url), listening(place, url) as lines:
        begun = await until(lines, "data: 7")
        assert begun == ["retry: 3000", "event: balance", "data: $8.11", "event: ledger", "data: 7"]
        place.states[place.harbor] |= {"ledger": "8"}
        assert await until(lines, "data: 8") == ["event: ledger", "data: 8"]


async def test_a_new_stream_is_told_nothing_that_is_older_than_its_page() -> None:
    """Credits arrive between two looks; the receipt that is opened then must not fall back to the old balance."""
    async with opened() as (place, url), listening(place, url) as lines:
        await until(lines, "data: 7")
        place.is_down = True
        place.states[place.harbor] |= {"balance": "$18.11"}
        async with listening(place, url, "bob") as bobs:
            assert await anext(bobs) == "retry: 3000"
            place.is_down = False
            assert await until(bobs, "data: 7") == ["event: balance", "data: $18.11", "event: ledger", "data: 7"]


async def test_a_quiet_stream_beats() -> None:
    async with opened() as (place, url), listening(place, url) as lines:
        await until(lines, ":")


async def test_two_people_of_one_organization_are_one_question_and_carol_is_told_nothing_of_it() -> None:
    async with (
        opened() as (place, url),
        listening(place, url) as alice,
        listening(place, url, "bob") as bob,
        listening(place, url, "carol") as carol,
    ):
        for lines, text in ((alice, "$8.11"), (bob, "$8.11"), (carol, "$1.00")):
            await until(lines, f"data: {text}")
        assert place.looked[-1] == sorted([place.harbor, place.carols])
        place.states[place.harbor]["balance"] = "$9.00"
        place.states[place.carols]["balance"] = "$1.50"
        await until(alice, "data: $9.00")
        assert "data: $9.00" not in await until(carol, "data: $1.50")


async def test_nobody_and_somebody_elses_page_get_no_stream() -> None:
    """Bob signs in where Carol was: Carol's old pages ask for her organization and get nothing."""
    async with opened() as (place, url), httpx.AsyncClient(base_url=url) as client:
        assert (await client.get(place.path("alice"))).status_code == 401
        client.cookies.set("pouch", "bob")
        for path in (place.path("carol"), "/events", "/events?of=org_x"):
            assert (await client.get(path)).status_code == 401
        assert (await client.head(place.path("bob"))).status_code == 200
        assert place.streams.size == 0


async def test_a_session_has_few_streams_and_closing_one_makes_room() -> None:
    async with opened() as (place, url), httpx.AsyncClient(base_url=url, cookies={"pouch": "alice"}) as client:
        async with listening(place, url) as first, listening(place, url), listening(place, url):
            await until(first, "data: 7")
            refused = await client.get(place.path("alice"))
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "60"
            async with listening(place, url, "bob") as bob:
                await until(bob, "data: 7")
        while place.streams.size:
            await asyncio.sleep(0.01)
        async with listening(place, url) as again:
            await until(again, "data: 7")


async def test_an_organization_has_a_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PER_ORGANIZATION_MAX", 1)
    async with (
        opened() as (place, url),
        httpx.AsyncClient(base_url=url, cookies={"pouch": "bob"}) as bob,
        listening(place, url) as lines,
    ):
        await until(lines, "data: 7")
        assert (await bob.get(place.path("bob"))).status_code == 429
        async with listening(place, url, "carol") as carol:
            await until(carol, "data: $1.00")


async def test_a_stream_ends_with_its_session() -> None:
    async with opened() as (place, url), listening(place, url) as lines:
        await until(lines, "data: 7")
        del place.people["alice"]
        assert {line async for line in lines} <= {":"}


async def test_a_stream_of_another_organization_ends() -> None:
    """Alice switches to another organization in the same session."""
    async with opened() as (place, url), listening(place, url) as lines:
        await until(lines, "data: 7")
        place.people["alice"] = Somebody(place.carols, session_id=place.people["alice"].session_id)
        assert {line async for line in lines} <= {":"}


async def test_an_outage_of_the_database_is_waited_out() -> None:
    async with opened() as (place, url), listening(place, url) as lines:
        await until(lines, "data: 7")
        place.is_down = True
        await until(lines, ":")
        place.states[place.harbor]["ledger"] = "9"
        place.is_down = False
        await until(lines, "data: 9")


async def test_a_process_that_stops_ends_its_streams_at_once() -> None:
    async with opened() as (place, url), listening(place, url) as lines:
        await until(lines, "data: 7")
        place.streams.stop()
        async with asyncio.timeout(2):
            assert [line async for line in lines] == []


async def test_nobody_listening_asks_nothing_of_the_database() -> None:
    async with opened() as (place, url):
        async with listening(place, url) as lines:
            await until(lines, "data: 7")
        while place.streams.size:
            await asyncio.sleep(0.01)
        await place.streams.tick()
        asked = len(place.looked)
        await place.streams.tick()
        assert len(place.looked) == asked
