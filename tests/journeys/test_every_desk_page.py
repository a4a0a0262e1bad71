"""Every page of the operator's desk in Chromium, with something of everything on it."""

import re

import httpx
import pytest
from playwright.async_api import Browser, ViewportSize

from journeys.browsing import browsing
from journeys.desk import busy_desk
from journeys.test_every_page import Visit, addressed, by_tabs, look_at, pages_among
from routes.stage import PLACE
from routes.table import cases
from support.looks import OF_COLOURS, OVERFLOW, faults_in_sight
from support.pouch import RunningPouch

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

NOT_PAGES = {"/admin/letters/{kind}/html", "/admin/journal/download"}
"""What stands in a frame of another page, and a file. Letters have a test of their own."""
PHONE: ViewportSize = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
async def visit(pouch: RunningPouch) -> Visit:
    cookie, places = await busy_desk(pouch)
    paths = [case.path for case in cases() if case.method == "GET" and case.path.startswith("/admin")]
    wanted = [path for path in paths if path not in NOT_PAGES]
    # Whoever adds a page about a thing makes one of these on the desk.
    assert [path for path in wanted if PLACE.search(path) and path not in places] == []
    addresses = [
        *(addressed(path, places) for path in wanted),
        *("/admin/grants?done", "/admin/mail?state=failed", "/admin/purchases?q=nothing+like+it"),
    ]
    async with httpx.AsyncClient(base_url=pouch.url, timeout=60, trust_env=False) as client:
        shown = await pages_among(client, addresses, cookie)
    assert sorted(set(addresses) - set(shown)) == []
    return Visit(cookie, shown)


async def test_every_page_of_the_desk_is_presentable(pouch: RunningPouch, chromium: Browser, visit: Visit) -> None:
    """Light, dark and narrow: axe and the console are silent, nothing sticks out; without script all is there."""
    await by_tabs(visit.pages, lambda pages: look_at(chromium, pouch, visit.cookie, pages))


async def test_every_page_of_the_desk_is_small_and_there_in_german_too(pouch: RunningPouch, visit: Visit) -> None:
    headers = {"accept-language": "de", "cookie": f"pouch={visit.cookie}"}
    async with httpx.AsyncClient(base_url=pouch.url, timeout=60, trust_env=False, headers=headers) as client:
        for address in visit.pages:
            page = await client.get(address)
            assert page.status_code == 200, address
            assert '<html lang="de">' in page.text, address
            assert len(page.content) < 60_000, address


async def test_every_letter_is_presentable_as_a_page_of_its_own(
    pouch: RunningPouch, chromium: Browser, visit: Visit
) -> None:
    """What mail programs draw: all rules in the light, colours in the dark, and nothing beside a phone's screen."""
    wrong = []
    async with httpx.AsyncClient(base_url=pouch.url, timeout=60, trust_env=False) as client:
        client.headers["cookie"] = f"pouch={visit.cookie}"
        kinds = sorted(set(re.findall(r'href="(/admin/letters/\w+)"', (await client.get("/admin/letters")).text)))
        letters = {kind: (await client.get(f"{kind}/html")).text for kind in kinds}
    assert len(letters) >= 30
    async with browsing(chromium, pouch) as (page, complaints):
        for kind, letter in letters.items():
            # Pouch itself shows a letter where no script may run, not even that of axe.
            await page.set_content(letter)
            found = await faults_in_sight(page)
            await page.emulate_media(color_scheme="dark")
            found += await faults_in_sight(page, OF_COLOURS)
            await page.emulate_media(color_scheme="light")
            await page.set_viewport_size(PHONE)
            found += ["sticks out to the side on a phone"] * bool(await page.evaluate(OVERFLOW))
            await page.set_viewport_size({"width": 1280, "height": 844})
            wrong += [f"{kind}: {each}" for each in found]
        assert complaints == []
    assert wrong == []
