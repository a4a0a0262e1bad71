"""Sharing: nothing by itself, for whom the person says, for a time, and ended by them."""

from urllib.parse import urlsplit

import httpx
import pytest

from pouch.base.ids import show_id
from roo.extension import Browser, Extension, Telling, signed_in
from roo.test_history import ASKED, NOON, address_of, tell_a_task
from roo.test_settings import harbor
from routes.stage import Somebody, Stage
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]
MESSAGES = [
    {"ts": NOON, "type": "say", "say": "text", "text": ASKED},
    {"ts": NOON + 1, "type": "ask", "ask": "completion_result", "text": ""},
]
"""A task that is sent whole."""


@pytest.fixture
async def telling(browser: Browser, extension: Extension) -> Telling:
    return Telling(await signed_in(browser, extension))


async def test_nothing_is_shared_until_its_person_does(stage: Stage, browser: Browser, telling: Telling) -> None:
    await tell_a_task(telling)
    page = await browser.get(await address_of(browser, telling))
    assert "Nobody else can see this task." in page.text
    async with stage.database.transaction() as db:
        rows = await db.execute(
            "SELECT count(*) FROM roo_shares s JOIN roo_tasks t ON t.id = s.task_id WHERE t.client_task_id = %s",
            (telling.task_id,),
        )
        assert await rows.fetchone() == (0,)


async def test_a_public_link_shows_the_task_to_a_stranger_and_to_no_search_engine(
    http: httpx.AsyncClient, telling: Telling, alice: Somebody
) -> None:
    await tell_a_task(telling)
    first = (await telling.share()).json()
    assert first.keys() == {"success", "shareUrl", "isNewShare", "manageUrl"}
    assert (first["success"], first["isNewShare"]) == (True, True)
    again = (await telling.share()).json()
    assert (again["shareUrl"], again["isNewShare"]) == (first["shareUrl"], False)
    seen = await http.get(urlsplit(first["shareUrl"]).path)
    assert seen.status_code == 200
    assert ASKED in seen.text
    assert alice.email not in seen.text
    assert seen.headers["x-robots-tag"].startswith("noindex")
    assert seen.headers["cache-control"] == "private, no-store"
    assert seen.headers["referrer-policy"] == "no-referrer"
    assert '<meta name="robots" content="noindex' in seen.text
    await telling.say(NOON + 20, "Someone follows this live.")
    assert "Someone follows this live." in (await http.get(urlsplit(first["shareUrl"]).path)).text


async def test_an_ended_link_opens_nothing_and_the_next_one_is_another(
    http: httpx.AsyncClient, browser: Browser, telling: Telling
) -> None:
    await tell_a_task(telling)
    link = (await telling.share()).json()["shareUrl"]
    page = await address_of(browser, telling)
    shown = await browser.get(page)
    assert link in shown.text
    end = shown.text.partition(f'action="{page}/shares/')[2].partition('"')[0]
    assert (await browser.post(f"{page}/shares/{end}")).status_code == 303
    assert (await http.get(urlsplit(link).path)).status_code == 404
    assert (await telling.share()).json()["shareUrl"] != link


async def test_a_link_ends_by_itself(stage: Stage, http: httpx.AsyncClient, telling: Telling) -> None:
    await tell_a_task(telling)
    link = urlsplit((await telling.share()).json()["shareUrl"]).path
    async with stage.database.transaction() as db:
        await db.execute(
            """
            UPDATE roo_shares SET expires_at = now()
             WHERE task_id = (SELECT id FROM roo_tasks WHERE client_task_id = %s)
            """,
            (telling.task_id,),
        )
    assert (await http.get(link)).status_code == 404


async def test_a_link_for_the_organization_is_for_its_members(
    stage: Stage, http: httpx.AsyncClient, browser: Browser, telling: Telling, alice: Somebody
) -> None:
    bob, carol = await stage.somebody(), await stage.somebody()
    organization = await harbor(stage, alice, bob)
    page = f"/organizations/{show_id('org', organization.id)}/editors"
    await browser.post(page, {"records_tasks": "on", "shares_tasks": "on", "allows_all": "on", "share_days": "1"})
    telling.extension.organization_id = show_id("org", organization.id)
    await telling.extension.refresh()
    await tell_a_task(telling)
    public = (await telling.share("public")).json()
    assert (public["success"], "sharing is not enabled" in public["error"]) == (False, True)
    link = urlsplit((await telling.share("organization")).json()["shareUrl"]).path
    stranger = await http.get(link)
    assert stranger.status_code == 303
    assert stranger.headers["location"].startswith("/sign-in?next=")
    for who, status in ((bob, 200), (carol, 404)):
        async with stage.client() as client:
            assert (await Browser(client, stage, who).get(link)).status_code == status
    await browser.post(page, {"records_tasks": "on", "allows_all": "on", "share_days": "1"})
    refused = (await telling.share("organization")).json()
    assert (refused["success"], "sharing is not enabled" in refused["error"]) == (False, True)


async def test_links_that_are_out_open_nothing_while_the_owners_let_none_be_made(
    stage: Stage, http: httpx.AsyncClient, browser: Browser, telling: Telling, alice: Somebody
) -> None:
    """The switch is the owners' way to close what a member shared; switched on again, the same links work again."""
    owner = await stage.somebody()
    organization = await harbor(stage, owner, alice)
    page = f"/organizations/{show_id('org', organization.id)}/editors"
    no_links: dict[str, str] = {"records_tasks": "on", "allows_all": "on", "share_days": "30"}
    for_members = no_links | {"shares_tasks": "on"}
    for_anybody = for_members | {"shares_publicly": "on"}
    telling.extension.organization_id = show_id("org", organization.id)
    async with stage.client() as client:
        owners = Browser(client, stage, owner)
        await owners.post(page, for_anybody)
        await telling.extension.refresh()
        await tell_a_task(telling)
        links = [urlsplit((await telling.share(each)).json()["shareUrl"]).path for each in ("organization", "public")]
        own = await address_of(browser, telling)

        async def opened(decided: dict[str, str]) -> tuple[int, int, int]:
            """For a member, for a stranger, and how many links the person is told open nothing."""
            assert (await owners.post(page, decided)).status_code == 303
            closed = (await browser.get(own)).text.count("the link opens nothing")
            return (await browser.get(links[0])).status_code, (await http.get(links[1])).status_code, closed

        assert await opened(for_anybody) == (200, 200, 0)
        assert await opened(for_members) == (200, 404, 1)
        assert await opened(no_links | {"shares_publicly": "on"}) == (404, 404, 2)
        assert await opened(no_links) == (404, 404, 2)
        assert await opened(for_anybody) == (200, 200, 0)


async def test_a_task_that_is_not_kept_is_sent_and_then_shared(browser: Browser, telling: Telling) -> None:
    """What the editor does when Share is answered with 404; the history stays off."""
    await telling.extension.change({"taskSyncEnabled": False})
    assert (await telling.share()).status_code == 404
    assert (await telling.backfill(MESSAGES)).status_code == 200
    link = (await telling.share()).json()["shareUrl"]
    assert ASKED in (await browser.get(urlsplit(link).path)).text


async def test_carol_cannot_share_alices_task(stage: Stage, telling: Telling) -> None:
    await tell_a_task(telling)
    carol = await stage.somebody()
    async with stage.client() as client:
        client.headers.clear()
        hers = Telling(Extension(client, jwt=carol.opens["token"]), telling.task_id)
        assert (await hers.share()).status_code == 404
