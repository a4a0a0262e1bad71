"""Pictures of the running product, for the README and the docs, and for looking at every page after a change.

Each page is taken in light, dark and at phone width. The names of the files are those that the docs link to.
"""

import asyncio
import sys
from pathlib import Path
from typing import Literal

import httpx
from playwright.async_api import Browser, Page, async_playwright, expect

from journeys.browsing import FLAGS, begin_to_buy, browsing, chromium_path, pay, sign_in
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


async def main(folder: Path) -> None:
    """Act as Alice, then take every picture."""
    folder.mkdir(parents=True, exist_ok=True)
    with RunningPouch() as pouch:
        secret = pouch.add_person(ALICE)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
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
            await browser.close()


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
    asyncio.run(main(Path(sys.argv[1])))
