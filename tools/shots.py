"""Pictures of the running product, for the README and the docs, and for looking at every page after a change.

Each page is taken in light, dark and at phone width. The names of the files are those that the docs link to. Beside
them, in a folder of its own, each step of a person's money and each page of the operator's desk, to be looked at.
"""

import asyncio
import re
import sys
from pathlib import Path
from typing import Literal

import httpx
from playwright.async_api import Browser, Page, expect

from journeys.browsing import begin_to_buy, browsing, pay, sign_in
from journeys.desk import busy_desk
from journeys.money import walk
from pouch.admin.desk import TABS
from support.chromium import open_chromium
from support.pouch import RunningPouch

ALICE = "alice@harbor.example"
SIGHTS: tuple[tuple[str, Literal["light", "dark"], int], ...] = (
    ("", "light", 1280),
    ("-dark", "dark", 1280),
    ("-phone", "light", 390),
)
PUBLIC = {"landing": "/", "pricing": "/pricing", "provider": "/provider", "docs": "/docs", "sign-in": "/sign-in"}
OWN = {
    "home": "/",
    "billing": "/billing",
    "usage": "/usage",
    "keys": "/keys",
    "settings": "/settings",
    "buy": "/billing/buy",
    "try": "/try",
    "agents": "/agents",
    "connect": "/connect",
}
CALLS = (
    ("pouch/paid", "Summarise the minutes of the harbour meeting in three short points, please " * 40, 400),
    ("pouch/free", "Say hello to the new members", 50),
    ("pouch/paid", "Rename the wallet column to balance and list the files that need a change " * 120, 2000),
    ("pouch/coder", "Write hello.py and run it", 200),
    ("pouch/paid", "One two three four five six seven", 50),
)


async def main(folder: Path, to_look_at: Path) -> None:
    """Act as Alice, then take every picture."""
    for each in (folder, to_look_at):
        each.mkdir(parents=True, exist_ok=True)
    with RunningPouch(from_nothing=True) as pouch:
        secret = pouch.add_person(ALICE)
        async with open_chromium() as browser:
            await live_a_little(browser, pouch, secret, folder)
            for suffix, scheme, width in SIGHTS:
                async with browsing(browser, pouch, scheme=scheme, width=width) as (page, complaints):
                    for name, path in PUBLIC.items():
                        await take(page, path, folder / f"{name}{suffix}.png")
                    await sign_in(page, ALICE)
                    for name, path in OWN.items():
                        await take(page, path, folder / f"{name}{suffix}.png")
                    await page.goto("/billing")
                    await page.locator("#balance").click()
                    await page.screenshot(path=folder / f"balance-menu{suffix}.png")
                    for complaint in complaints:
                        print(f"{suffix or '-light'}: {complaint}")
            await money(browser, pouch, to_look_at)
            await desk(browser, pouch, to_look_at)


async def money(browser: Browser, pouch: RunningPouch, folder: Path) -> None:
    """Every step of a person's money, each sight with a person of its own."""
    for suffix, scheme, width in SIGHTS:
        email = f"money{suffix}@harbor.example"
        pouch.add_person(email)

        async def look(page: Page, step: str, suffix: str = suffix) -> None:
            # A page that was left at one of its parts is drawn with the top bar in the middle.
            await page.evaluate("scrollTo(0, 0)")
            await page.screenshot(path=folder / f"money-{step}{suffix}.png", full_page=True)

        async with browsing(browser, pouch, scheme=scheme, width=width) as (page, _):
            await sign_in(page, email)
            await walk(page, pouch, email, look)


async def desk(browser: Browser, pouch: RunningPouch, folder: Path) -> None:
    """Every page of the operator's desk, busy."""
    cookie, places = await busy_desk(pouch)
    paths = [tab.path for tab in TABS] + ["/admin/letters", *places.values()]
    for suffix, scheme, width in SIGHTS:
        async with browsing(browser, pouch, scheme=scheme, width=width) as (page, _):
            await page.context.add_cookies([{"name": "pouch", "value": cookie, "url": pouch.url}])
            for path in paths:
                name = re.sub(r"_\w{26}", "", path.strip("/")).replace("/", "-")
                await take(page, path, folder / f"{name}{suffix}.png")
            await make_vouchers(page)
            await page.screenshot(path=folder / f"admin-vouchers-codes{suffix}.png", full_page=True)


async def make_vouchers(page: Page) -> None:
    """To the page that shows the codes."""
    await page.goto("/admin/vouchers")
    await page.get_by_label("Credits of each, in dollars").fill("5")
    await page.get_by_label("How many codes").fill("6")
    await page.get_by_label("What they are for").fill("Open day")
    await page.get_by_role("button", name="Make").click()
    await expect(page.get_by_role("heading", name="Your codes")).to_be_visible()


async def live_a_little(browser: Browser, pouch: RunningPouch, secret: str, folder: Path) -> None:
    """Buy credits in the browser, and make some calls."""
    async with browsing(browser, pouch) as (page, _):
        await sign_in(page, ALICE)
        await begin_to_buy(page, "25")
        await page.screenshot(path=folder / "checkout.png")
        await pay(page, "4242 4242 4242 4242")
        await expect(page.locator("#balance")).to_contain_text("25.00")
    async with httpx.AsyncClient(base_url=pouch.url, timeout=60, trust_env=False) as client:
        for model, text, most in CALLS:
            body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": most}
            answer = await client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {secret}"})
            answer.raise_for_status()


async def take(page: Page, path: str, file: Path) -> None:
    """One whole page as a picture. A page that does not exist is left out."""
    answer = await page.goto(path)
    if answer is not None and answer.ok:
        await page.screenshot(path=file, full_page=True)
    else:
        print(f"{path}: {answer.status if answer is not None else 'no answer'}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
