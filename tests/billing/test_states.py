"""What a page does when it is not simply looked at: no network, less movement, paper, and no mouse."""

import pytest
from playwright.async_api import Browser, Page, expect

from billing.site import OpenSite
from billing.visiting import visited
from support.cards import uses_sdk
from support.looks import assert_presentable

pytestmark = [pytest.mark.anyio, pytest.mark.browser, uses_sdk]

MOVES = """
[...document.querySelectorAll("*")].filter((each) => {
  const { transitionDuration, animationName } = getComputedStyle(each);
  return animationName !== "none" || parseFloat(transitionDuration) > 0;
}).map((each) => each.outerHTML.slice(0, 100))
"""
OF_REACH = """
[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary")]
  .filter((each) => each.checkVisibility() && (each.tabIndex < 0 || each.disabled))
  .map((each) => each.outerHTML.slice(0, 100))
"""
PATHS = ("/", "/billing", "/billing/buy", "/usage")


async def test_who_is_offline_is_told_and_who_comes_back_is_not(open_site: OpenSite, chromium: Browser) -> None:
    async with visited(chromium, open_site, width=390) as (_, page, complaints):
        await page.goto("/billing")
        notice = page.get_by_text("You are offline.")
        await expect(notice).to_be_hidden()
        await page.context.set_offline(True)
        await expect(notice).to_be_visible()
        await assert_presentable(page)
        await page.context.set_offline(False)
        await expect(notice).to_be_hidden()
        # The stream was cut meanwhile, which is no fault of the page.
        assert [each for each in complaints if "/events" not in each] == []


async def test_nothing_moves_for_whoever_wants_less_of_it(open_site: OpenSite, chromium: Browser) -> None:
    async with visited(chromium, open_site) as (_, page, _complaints):
        await page.emulate_media(reduced_motion="reduce")
        for path in PATHS:
            await page.goto(path)
            assert await page.evaluate(MOVES) == [], path


async def test_a_receipt_on_paper_is_the_sheet_alone(open_site: OpenSite, chromium: Browser) -> None:
    async with visited(chromium, open_site, scheme="dark") as (_, page, _complaints):
        await buy(page)
        await page.get_by_role("link", name="Receipt").first.click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Receipt 1")
        await page.emulate_media(media="print")
        await expect(page.get_by_role("article")).to_be_visible()
        for gone in (".topbar", ".footer", "main .button", "dialog", ".menu"):
            await expect(page.locator(gone).filter(visible=True)).to_have_count(0)
        assert await page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"


async def test_every_act_of_a_page_is_in_reach_of_the_keyboard(open_site: OpenSite, chromium: Browser) -> None:
    """All that can be pressed has its place in the order of Tab, and shows when it has the focus."""
    async with visited(chromium, open_site) as (_, page, _complaints):
        for path in PATHS:
            await page.goto(path)
            assert await page.evaluate(OF_REACH) == [], path
            await page.keyboard.press("Tab")
            await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
            for _ in range(6):
                await page.keyboard.press("Tab")
                assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


async def buy(page: Page) -> None:
    await page.goto("/billing/buy")
    await page.get_by_label("Another amount").fill("10")
    await page.get_by_role("button", name="Continue to payment").click()
    await page.get_by_label("Card number").fill("4242 4242 4242 4242")
    await page.get_by_label("Expiration").fill("12 / 34")
    await page.get_by_label("CVC").fill("123")
    await page.get_by_role("button", name="Pay $10.00").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your credits are here")
