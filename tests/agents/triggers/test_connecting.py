"""Connecting GitHub: who comes back must be who was sent, and only GitHub says what is theirs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from agents.house import House
from pouch.agents.triggers.github.app import GitHub, Names
from pouch.agents.triggers.github.connecting import Connecting, Outcome
from pouch.agents.triggers.github.installations import Visit, forget_person, list_installations, login_of
from pouch.agents.triggers.rules import list_rules
from pouch.base.errors import InvalidInput
from pouch.base.ids import new_id
from pouch.identity.people import add_person
from support.git_host import BACKEND
from support.github import APP_ID, CLIENT_ID, CLIENT_SECRET, SLUG, FakeGitHub
from support.github_front import Front, front

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(not BACKEND.exists(), reason="only with git's http server")]


@pytest.fixture(scope="module")
def whole(github: FakeGitHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with front(github, Path(tmp_path_factory.mktemp("host"))) as running:
        yield running


@pytest.fixture
async def app(whole: Front) -> AsyncIterator[GitHub]:
    names = Names(APP_ID, SLUG, CLIENT_ID, whole.url)
    certificates = whole.host.certificate.read_bytes()
    app = GitHub(
        names,
        private_key=whole.github.key,
        client_secret=CLIENT_SECRET,
        api_base=whole.api,
        certificates=certificates,
    )
    try:
        yield app
    finally:
        await app.close()


@pytest.fixture
def connecting(house: House, app: GitHub) -> Connecting:
    return Connecting(house.database, app, url="https://pouch.example")


def visit_of(house: House) -> Visit:
    return Visit(house.alice.organization_id, house.alice.id, new_id())


async def go(whole: Front, address: str, login: str) -> tuple[str, str]:
    """What a person's browser does on GitHub: state and code come back."""
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    form = asked | {"login": login, "scope": ""}

    def post() -> httpx.Response:
        return httpx.post(f"{whole.url}/login/oauth/callback", data=form, verify=False, trust_env=False, timeout=30)

    back = parse_qs(urlsplit((await asyncio.to_thread(post)).headers["location"]).query)
    return back["state"][0], back["code"][0]


async def connected(house: House) -> list[str]:
    async with house.database.transaction() as db:
        return [each.account for each in await list_installations(db, house.alice.organization_id)]


async def test_an_owner_connects_what_they_administer_and_begins_with_rules(
    house: House, whole: Front, connecting: Connecting
) -> None:
    visit = visit_of(house)
    state, code = await go(whole, await connecting.begin(visit), "alice")
    assert await connecting.finish(visit, state, code) == Outcome("alice", ("acme",), ())
    assert await connected(house) == ["acme"]
    async with house.database.transaction() as db:
        rules = await list_rules(db, house.alice.organization_id)
        assert await login_of(db, house.alice.id) == "alice"
    assert {(rule.happening, rule.is_on) for rule in rules} == {
        ("issue_mention", True),
        ("pull_mention", True),
        ("review", True),
        ("label", False),
        ("pull_opened", False),
    }


async def test_who_only_sees_a_repository_connects_nothing(house: House, whole: Front, connecting: Connecting) -> None:
    visit = visit_of(house)
    state, code = await go(whole, await connecting.begin(visit), "bob")
    assert await connecting.finish(visit, state, code) == Outcome("bob", (), ())
    assert await connected(house) == []


async def test_a_way_back_works_once_and_only_for_who_was_sent(
    house: House, whole: Front, connecting: Connecting
) -> None:
    visit = visit_of(house)
    state, code = await go(whole, await connecting.begin(visit), "alice")
    for wrong in (
        replace(visit, session_id=new_id()),
        replace(visit, person_id=new_id()),
        replace(visit, organization_id=new_id()),
    ):
        with pytest.raises(InvalidInput):
            await connecting.finish(wrong, state, code)
    with pytest.raises(InvalidInput):
        await connecting.finish(visit, "another state", code)
    await connecting.finish(visit, state, code)
    with pytest.raises(InvalidInput):
        await connecting.finish(visit, state, code)


async def test_an_account_speaks_for_one_organization(house: House, whole: Front, connecting: Connecting) -> None:
    first = visit_of(house)
    await connecting.finish(first, *await go(whole, await connecting.begin(first), "alice"))
    async with house.database.transaction() as db:
        other = await add_person(db, "bob@example.com", None, verified=True)
    second = Visit(other.organization_id, other.id, new_id())
    outcome = await connecting.finish(second, *await go(whole, await connecting.begin(second), "alice"))
    assert outcome == Outcome("alice", (), ("acme",))
    async with house.database.transaction() as db:
        assert await list_installations(db, other.organization_id) == []
        await forget_person(db, house.alice.id)
    assert await connected(house) == []


async def test_a_way_back_that_came_too_late_does_not_work(house: House, whole: Front, connecting: Connecting) -> None:
    visit = visit_of(house)
    state, code = await go(whole, await connecting.begin(visit), "alice")
    async with house.database.transaction() as db:
        await db.execute("UPDATE agent_connect_states SET expires_at = now() - interval '1 second'")
    with pytest.raises(InvalidInput):
        await connecting.finish(visit, state, code)
