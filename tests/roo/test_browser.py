"""In Chromium: programs are let in and signed out, tasks are found and shared; light, dark and narrow."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import httpx
import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect

from journeys.browsing import REPORT_VIOLATIONS
from pouch.base.ids import show_id
from pouch.identity.organizations import add_member, add_organization
from pouch.web.cookies import cookie_name
from roo.extension import Extension, Telling
from roo.test_history import ASKED, NOON, tell_a_task
from routes.stage import Somebody, Stage
from support.cards import uses_sdk
from support.looks import assert_presentable

pytestmark = [pytest.mark.anyio, pytest.mark.browser, uses_sdk]


@asynccontextmanager
async def visiting(chromium: Browser, stage: Stage, who: Somebody | None) -> AsyncIterator[tuple[Page, list[str]]]:
    complaints: list[str] = []
    viewport: ViewportSize = {"width": 1280, "height": 900}
    async with await chromium.new_context(base_url=stage.settings.url, viewport=viewport) as context:
        if who:
            cookie = {"name": cookie_name(stage.settings), "value": who.cookie, "url": stage.settings.url}
            await context.add_cookies([cookie])  # type: ignore[list-item]  # playwright's own name for it
        await context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        yield await context.new_page(), complaints


@pytest.fixture
async def telling(http: httpx.AsyncClient, alice: Somebody) -> Telling:
    return Telling(Extension(http, jwt=alice.opens["token"], client_token=alice.opens["client"]))


async def test_somebody_signed_out_signs_in_on_the_way(
    chromium: Browser, stage: Stage, alice: Somebody, extension: Extension
) -> None:
    async with visiting(chromium, stage, None) as (page, _):
        await page.goto(extension.page())
        await page.get_by_label("E-mail").fill(alice.email)
        await page.get_by_label("Password").fill("correct horse battery")
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("button", name="Sign in Visual Studio Code").click()
        callback_url = await page.locator("[data-callback-url]").get_attribute("data-callback-url")
    assert callback_url is not None
    assert (await extension.sign_in(callback_url)).status_code == 200


async def test_an_editor_that_came_in_is_signed_out_under_settings(
    chromium: Browser, stage: Stage, alice: Somebody, extension: Extension
) -> None:
    """The whole way: the editor's page, the address it is called with, its work, Settings, and its end at once."""
    async with visiting(chromium, stage, alice) as (page, complaints):
        await page.goto(extension.page())
        await page.get_by_role("button", name="Sign in Visual Studio Code").click()
        callback_url = await page.locator("[data-callback-url]").get_attribute("data-callback-url")
        assert callback_url is not None
        assert (await extension.sign_in(callback_url)).status_code == 200
        assert (await extension.refresh()).status_code == 200
        assert (await extension.chat()).status_code == 200

        # The browser asks in the first tab whether it may open the editor; until then it takes no clicks.
        settings = await page.context.new_page()
        await settings.goto("/settings")
        mine = settings.get_by_role("row").filter(has_text="Visual Studio Code")
        await expect(mine).to_have_count(1)
        await mine.get_by_role("button", name="Sign out").click()
        await expect(settings.get_by_role("row").filter(has_text="Visual Studio Code")).to_have_count(0)
        # Of the address that opens the editor the browser says that it knows no such program.
        assert [each for each in complaints if "vscode:" not in each.lower()] == []
    assert (await extension.refresh()).status_code == 401
    assert (await extension.chat()).status_code == 401


async def test_a_terminal_that_listens_gets_its_token(
    chromium: Browser, stage: Stage, http: httpx.AsyncClient, alice: Somebody
) -> None:
    """As the command line does: a small server at a free port, which then sends the browser on."""
    state = "fedcba9876543210fedcba9876543210"
    heard: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        heard.append(request.split()[1])
        place = f"{stage.settings.url}/cli/sign-in?success=true"
        writer.write(
            f"HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with await asyncio.start_server(answer, sock=listener) as server:
            port = server.sockets[0].getsockname()[1]
            async with visiting(chromium, stage, alice) as (page, complaints):
                callback = quote(f"http://127.0.0.1:{port}/callback", safe="")
                await page.goto(f"/cli/sign-in?state={state}&callback={callback}")
                await assert_presentable(page, "cli-sign-in")
                await page.get_by_role("button", name="Sign in the command line").click()
                await expect(page.get_by_role("heading", level=1)).to_have_text("The command line is signed in")
                await assert_presentable(page, "cli-done")
                assert complaints == []
    (asked,) = [each for each in heard if each.startswith("/callback")]
    query = httpx.URL(asked).params
    assert query["state"] == state
    me = await http.get("/trpc/auth.me?batch=1", headers={"authorization": f"Bearer {query['token']}"})
    assert me.json()[0]["result"]["data"]["json"]["user"]["email"] == alice.email


async def test_a_task_is_found_shared_seen_by_a_stranger_and_deleted(
    chromium: Browser, stage: Stage, alice: Somebody, telling: Telling
) -> None:
    await tell_a_task(telling)
    async with (
        visiting(chromium, stage, alice) as (page, complaints),
        visiting(chromium, stage, None) as (strangers, _),
    ):
        await page.goto("/tasks")
        await page.get_by_label("Search your tasks").fill("brush")
        await page.get_by_role("button", name="Search").click()
        await page.get_by_role("link", name=ASKED).click()
        await page.get_by_role("button", name="Make a link for anybody").click()
        link = await page.get_by_label("Anybody who has this link").input_value()
        await strangers.goto(link)
        await expect(strangers.get_by_role("heading", level=1)).to_have_text(ASKED)
        await assert_presentable(strangers, "shared")
        await page.get_by_role("button", name="End this link").click()
        await expect(page.get_by_role("status")).to_contain_text("opens nothing any more")
        answer = await strangers.goto(link)
        assert answer is not None
        assert answer.status == 404
        await page.get_by_role("link", name="Delete this task").click()
        await page.get_by_role("button", name="Delete this task").click()
        await expect(page.get_by_role("status")).to_contain_text("The task is deleted.")
        assert complaints == []


async def test_the_pages_look_right(
    chromium: Browser,
    stage: Stage,
    alice: Somebody,
    telling: Telling,
    extension: Extension,
) -> None:
    async with stage.database.transaction() as db:
        harbor = await add_organization(db, "Harbor", alice.person)
        await add_member(db, harbor, (await stage.somebody()).person, "member")
    await tell_a_task(telling)
    await telling.say(
        NOON + 4, '{"tool":"editedExistingFile","path":"src/boathouse.py","diff":"- red\\n+ cobalt"}', about="tool"
    )
    await telling.say(NOON + 5, "Looks good, thanks", about="user_feedback")
    await telling.share()
    state = extension.state
    # As they are without much on them tests/journeys/test_every_page.py looks at them.
    pages = {
        "unknown-editor": f"/extension/sign-in?state={state}&auth_redirect=odd-editor%3A%2F%2Fsome.body",
        "cli-failed": "/cli/sign-in?error=missing-token&message=x",
        "tasks": "/tasks",
        "no-task": "/tasks?q=submarine",
        "task": f"/task/{telling.task_id}",
        "organization": f"/organizations/{show_id('org', harbor.id)}/editors",
    }
    async with visiting(chromium, stage, alice) as (page, complaints):
        for name, address in pages.items():
            await page.goto(address)
            await assert_presentable(page, name)
        await page.goto(extension.page())
        await page.get_by_role("button", name="Sign in Visual Studio Code").click()
        await expect(page.locator("[data-callback-url]")).to_be_visible()
        await assert_presentable(page, "way-back")
        assert [each for each in complaints if "vscode://" not in each] == []
