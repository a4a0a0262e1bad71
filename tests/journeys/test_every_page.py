"""Every page of docs/access.md in Chromium, for a person with data and for a stranger, and the pages of failure."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx
import psycopg
import pytest
from playwright.async_api import Browser, Page, Response, expect

from journeys.browsing import browsing
from journeys.buyer import PASSWORD, buyer
from routes.stage import PLACE
from routes.table import Case, cases
from support.looks import assert_presentable, faults_of
from support.pouch import RunningPouch, until

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

EDITOR = {"state": "0123456789abcdef0123456789abcdef", "auth_redirect": "vscode://RooVeterinaryInc.roo-cline"}
TERMINAL = {"state": EDITOR["state"], "callback": "http://127.0.0.1:49152/callback"}
EMAIL = "somebody.with.a.rather.long.name.who.looks.at.every.page@long-harbor-street.example.com"
MOVED, NEW = "moved@example.com", "new@example.com"
TABS = 2
NOT_PAGES = (
    "/static/",
    "/v1/",
    "/proxy/",
    "/api/",
    "/trpc/",
    "/events",  # never ends
    "/embedded/cards/v1/",
    "/embedded/models/",
    *(
        "/admin/",  # test_every_desk_page
        "/agents/{",
        "/billing/cards/",
        "/top-up/confirm/",
        "/trpc/",
        "/extension/sign-in/{",  # leads on to an editor
    ),  # their rooms' journeys
    "/embedded/mailbox/{mail_id}/html",  # what somebody sent, which stands in a frame of the page about it
)
FAILED_TO_LOAD = "Failed to load resource: the server responded with a status of"


@dataclass(frozen=True, slots=True)
class Visit:
    """Who looks, and the address of each page that they are shown."""

    cookie: str | None
    pages: tuple[str, ...]


@pytest.fixture(scope="module")
async def things(pouch: RunningPouch) -> tuple[str, dict[str, str]]:
    """The cookie of a person who bought, called and got mail, and an address for each page about a thing of theirs."""
    async with buyer(pouch, EMAIL) as alice:
        pouch.does("grant", EMAIL, "5", "--key", "every page", "--note", "A gift with a rather long note beside it")
        secret = pouch.does("key", "add", EMAIL, "The laptop in the kitchen that everybody uses").strip()
        await alice.visit(await alice.pay(await alice.start()))
        for model in ("pouch/paid", "pouch/free", "pouch/paid"):
            call = {"model": model, "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 20}
            headers = {"authorization": f"Bearer {secret}"}
            assert (await alice.client.post("/v1/chat/completions", json=call, headers=headers)).is_success
        unpaid = await alice.start("20")
        await alice.client.post("/reset", data={"email": EMAIL})
        await alice.client.post("/settings/email", data={"email": "every.new.page@example.com"})
        bearer = {"authorization": f"Bearer {pouch.ends.stripe_secret_key}"}
        charges = (await alice.client.get("/embedded/cards/v1/charges", headers=bearer)).json()["data"]
        billing, usage, keys = [await alice.visit(page) for page in ("/billing", "/usage", "/keys")]
        reset, change = linked(pouch, EMAIL, "/reset/"), linked(pouch, "every.new.page@example.com", "/change-address/")
        mailbox = await alice.visit(f"/embedded/mailbox?to={EMAIL}")
        tasks = await places_of_tasks(pouch)
        settings = await alice.visit("/settings")
        cookie = alice.client.cookies["pouch"]
    receipt = found(r"/billing/purchases/pur_\w+/receipt", billing)
    return cookie, {
        **{page: f"{page}?{urlencode(EDITOR)}" for page in ("/extension/sign-in", "/extension/provider-sign-up")},
        "/l/{slug}": f"/l/supernova?{urlencode(EDITOR)}",
        "/cli/sign-in": f"/cli/sign-in?{urlencode(TERMINAL)}",
        **tasks,
        "/provider/{id:path}": "/provider/pouch/paid",
        "/docs/{name}": "/docs/credits",
        "/billing/purchases/{id}": receipt.removesuffix("/receipt"),
        "/billing/purchases/{id}/receipt": receipt,
        "/billing/purchases/{id}/refund": receipt.removesuffix("/receipt") + "/refund",
        "/billing/ledger/{id}": found(r"/billing/ledger/line_\w+", billing),
        "/usage/{id}": found(r"/usage/gen_\w+", usage),
        "/settings/devices/{device}/limit": found(r"/settings/devices/dev_\w+/limit", settings),
        "/keys/{key}/revoke": found(r"/keys/key_\w+/revoke", keys),
        "/reset/{token}": reset,
        "/change-address/{token}": change,
        "/first/{token}": "/first/" + pouch.first_link.rpartition("/")[2],
        "/invitation/{token}": found(r"/invitation/\w+", pouch.does("invite", "invited@example.com")),
        **await links_of_others(pouch),
        "/embedded/mailbox/{mail_id}": found(r"/embedded/mailbox/mail_\w+", mailbox),
        "/embedded/cards/pay/{session_id}": found(r"/embedded/cards/pay/\w+", unpaid),
        "/embedded/cards/receipts/{charge_id}": f"/embedded/cards/receipts/{charges[0]['id']}",
    }


async def places_of_tasks(pouch: RunningPouch) -> dict[str, str]:
    """A task that an editor told of, a link to it, and the settings of an organization."""
    token = pouch.does("token", "add", EMAIL).strip()
    organization = pouch.does("org", "add", "A harbor with a rather long name", "--owner", EMAIL).strip()
    message = {"ts": 1_795_780_800_000, "type": "say", "say": "text", "text": "Paint the boathouse"}
    event = {"type": "Task Message", "properties": {"taskId": "boathouse", "mode": "code", "message": message}}
    async with httpx.AsyncClient(base_url=pouch.url, trust_env=False) as editor:
        editor.headers["authorization"] = f"Bearer {token}"
        assert (await editor.post("/api/events", json=event)).is_success
        share = {"taskId": "boathouse", "visibility": "public"}
        shared = (await editor.post("/api/extension/share", json=share)).json()
    task = shared["manageUrl"].removeprefix(pouch.url)
    return {
        "/tasks/{task}": task,
        "/tasks/{task}/delete": f"{task}/delete",
        "/task/{client_task}": "/task/boathouse",
        "/shared/{token}": shared["shareUrl"].removeprefix(pouch.url),
        "/organizations/{organization}/editors": f"/organizations/{organization}/editors",
    }


async def links_of_others(pouch: RunningPouch) -> dict[str, str]:
    """A link that verifies, and one that takes a change of address back."""
    async with buyer(pouch, MOVED) as bob:
        await bob.client.post("/settings/email", data={"email": NEW})
        assert (await bob.client.post(linked(pouch, NEW, "/change-address/"))).status_code == 303
    async with httpx.AsyncClient(base_url=pouch.url, headers={"origin": pouch.url}, trust_env=False) as stranger:
        answer = await stranger.post("/sign-up", data={"email": "carol@example.com", "password": PASSWORD})
        assert answer.status_code == 303
    return {
        "/undo-change/{token}": linked(pouch, MOVED, "/undo-change/"),
        "/verify/{token}": linked(pouch, "carol@example.com", "/verify/"),
    }


@pytest.fixture(scope="module")
async def visits(pouch: RunningPouch, things: tuple[str, dict[str, str]]) -> dict[str, Visit]:
    cookie, places = things
    addresses = [
        *(addressed(case.path, places) for case in cases() if is_asked_for(case, places)),
        *("/billing?kind=calls", "/usage?days=90&model=pouch%2Fpaid", "/provider?q=nothing-like-it"),
        *(f"/docs/{name}" for name in ("buying-credits", "billing-api", "first-call", "charges", "errors")),
        *("/sign-in?confirmed", "/verify?again", "/settings?done=moved"),
    ]
    async with httpx.AsyncClient(base_url=pouch.url, timeout=60, trust_env=False) as client:
        shown = {name: await pages_among(client, addresses, who) for name, who in (("alice", cookie), ("nobody", None))}
    # What a stranger sees as well differs in the top bar only, which one of those pages shows.
    own = tuple(each for each in shown["alice"] if each in {"/", "/pricing"} or each not in shown["nobody"])
    return {"alice": Visit(cookie, own), "nobody": Visit(None, shown["nobody"])}


@pytest.mark.parametrize("name", ["alice", "nobody"])
async def test_every_page_is_presentable(
    pouch: RunningPouch, chromium: Browser, visits: dict[str, Visit], name: str
) -> None:
    """Light, dark and narrow: axe and the console are silent, nothing sticks out; without script all is there."""
    visit = visits[name]
    assert len(visit.pages) > 15
    await by_tabs(visit.pages, lambda pages: look_at(chromium, pouch, visit.cookie, pages))


@pytest.mark.parametrize("name", ["alice", "nobody"])
async def test_every_page_is_small_and_there_in_german_too(
    pouch: RunningPouch, visits: dict[str, Visit], name: str
) -> None:
    """Under 60 kB each, without what all pages share; and no translation breaks the page it stands on."""
    visit = visits[name]
    headers = {"accept-language": "de"} | ({"cookie": f"pouch={visit.cookie}"} if visit.cookie else {})
    async with httpx.AsyncClient(base_url=pouch.url, timeout=60, trust_env=False) as client:
        for address in visit.pages:
            if address.startswith("/embedded/cards/"):  # another house, which speaks English
                continue
            page = await client.get(address, headers=headers)
            assert page.status_code == 200, address
            assert '<html lang="de">' in page.text, address
            assert len(page.content) < 60_000, address
            if visit.cookie and "topbar" in page.text:
                assert "Verfügbar" in page.text, address


async def test_pages_of_failure_help(
    pouch: RunningPouch, chromium: Browser, things: tuple[str, dict[str, str]]
) -> None:
    """404, 405, a foreign form's 403 and a broken database's 500: in the look of the others, with a way on."""
    for cookie in (things[0], None):
        async with visited(chromium, pouch, cookie) as (page, complaints):
            for address, status, words in (
                ("/no/such/page", 404, "There is no such page"),
                ("/docs/nonsense", 404, "There is no such page in the docs."),
                ("/reset/nonsense", 404, "ended"),
                ("/billing/purchases", 405, "Follow a link or press a button"),
            ):
                assert (await open_(page, address)).status == status
                await expect(page.locator("main")).to_contain_text(words)
                await expect(page.locator("main a").first).to_be_visible()
                await assert_presentable(page)
            assert [each for each in complaints if FAILED_TO_LOAD not in each] == []


async def test_a_form_of_another_site_gets_a_page_that_says_so(
    pouch: RunningPouch, chromium: Browser, things: tuple[str, dict[str, str]]
) -> None:
    async with visited(chromium, pouch, things[0]) as (page, _):
        form = f'<form method="post" action="{pouch.url}/settings/sessions/end-others"><button>Win</button></form>'
        await page.route(
            "http://evil.localhost/**", lambda route: route.fulfill(body=form, content_type="text/html; charset=utf-8")
        )
        await page.goto("http://evil.localhost/")
        async with page.expect_response(f"{pouch.url}/**") as answering:
            await page.get_by_role("button", name="Win").click()
        assert (await answering.value).status == 403
        await expect(page.locator("main")).to_contain_text("This came from another site, so nothing was done.")
        await assert_presentable(page)


async def test_a_broken_page_says_so_and_the_others_go_on(
    pouch: RunningPouch, chromium: Browser, things: tuple[str, dict[str, str]]
) -> None:
    """A table is gone for a moment: a number to tell, nothing of the inside, and the way back."""
    async with visited(chromium, pouch, things[0]) as (page, _):
        with psycopg.connect(pouch.ends.database_url, autocommit=True) as db:
            db.execute("ALTER TABLE usage_calls RENAME TO usage_calls_gone")
            try:
                assert (await open_(page, "/usage")).status == 500
            finally:
                db.execute("ALTER TABLE usage_calls_gone RENAME TO usage_calls")
        await expect(page.locator("main")).to_contain_text("The fault is ours.")
        await expect(page.locator("main code")).to_have_text(re.compile(r"err_\w{26}"))
        assert "usage_calls" not in await page.content()
        await assert_presentable(page)
        await page.get_by_role("link", name="Try again").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Usage")


async def look_at(chromium: Browser, pouch: RunningPouch, cookie: str | None, pages: Sequence[str]) -> list[str]:
    """What is wrong with these pages, and what cannot be seen on them without script, though it can with it."""
    wrong = []
    async with (
        visited(chromium, pouch, cookie) as (page, complaints),
        visited(chromium, pouch, cookie, script=False) as (plain, plain_complaints),
    ):
        for address in pages:
            await page.goto(address)
            await plain.goto(address)
            before, after = await content_of(page), await content_of(plain)
            wrong += [f"{address}: without script {each!r} is missing" for each in before if each not in after]
            wrong += [f"{address}: without script {each}" for each in plain_complaints]
            wrong += [f"{address} {each}" for each in [*await faults_of(page), *complaints]]
            complaints.clear()
            plain_complaints.clear()
    return wrong


async def content_of(page: Page) -> list[str]:
    """The headings that can be seen, the fields and the buttons of the main part."""
    shown = await page.locator("main :is(h1, h2, h3, th, label, form button, p)").filter(visible=True).all_inner_texts()
    return [" ".join(text.split()) for text in shown]


async def open_(page: Page, address: str) -> Response:
    answer = await page.goto(address)
    assert answer is not None
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    return answer


@asynccontextmanager
async def visited(
    chromium: Browser, pouch: RunningPouch, cookie: str | None, *, script: bool = True
) -> AsyncIterator[tuple[Page, list[str]]]:
    """The browser of somebody whose cookie this is."""
    async with browsing(chromium, pouch, script=script) as (page, complaints):
        if cookie:
            await page.context.add_cookies([{"name": "pouch", "value": cookie, "url": pouch.url}])
        yield page, complaints


async def by_tabs(pages: Sequence[str], look: Callable[[Sequence[str]], Awaitable[list[str]]]) -> None:
    """Look at the pages, several at once; all that is wrong is told together."""
    wrong = await asyncio.gather(*(look(pages[start::TABS]) for start in range(TABS)))
    assert not any(wrong), "\n".join(each for some in wrong for each in some)


async def pages_among(client: httpx.AsyncClient, addresses: Sequence[str], cookie: str | None) -> tuple[str, ...]:
    """Those of the addresses at which somebody is shown a page."""
    headers = {"cookie": f"pouch={cookie}"} if cookie else {}
    answers = [(each, await client.get(each, headers=headers)) for each in addresses]
    return tuple(
        each for each, answer in answers if answer.is_success and answer.headers["content-type"].startswith("text/html")
    )


def is_asked_for(case: Case, places: Mapping[str, str]) -> bool:
    """A page that has its address; one about a thing that is not among `things` is looked at by its own room."""
    has_place = case.path in places or not PLACE.search(case.path)
    return case.method == "GET" and has_place and not case.path.startswith(NOT_PAGES)


def addressed(path: str, places: Mapping[str, str]) -> str:
    """The address of a page. One about a thing has to be named among `things`."""
    return places[path] if PLACE.search(path) else places.get(path, path)


def linked(pouch: RunningPouch, to: str, below: str) -> str:
    """The newest link to such a page in the mails of an address."""

    def look() -> str | None:
        texts = (mail["text"] for mail in pouch.mails(to))
        return next((hit[0] for text in texts if (hit := re.search(rf"{below}\w+", text))), None)

    return until(look, what=f"a link to {below} for {to}", log=pouch.log)


def found(pattern: str, text: str) -> str:
    hit = re.search(pattern, text)
    assert hit, f"nothing like {pattern} on the page"
    return hit[0]
