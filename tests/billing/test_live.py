"""The event stream in real Chromium: one for all tabs, and what open pages make of it."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page, Route, expect

from billing.site import OpenSite, Site
from billing.visiting import visited
from support.cards import uses_sdk
from usage.calls import a_call, write

pytestmark = [pytest.mark.anyio, pytest.mark.browser, uses_sdk]

HIDE = """
(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}
"""


async def _streams(site: Site, count: int) -> None:
    async with asyncio.timeout(10):
        while site.streams.size != count:
            await asyncio.sleep(0.02)


async def _shows(page: Page, balance: str) -> None:
    await expect(page.locator("#balance")).to_have_text(f"Available {balance}")


async def test_two_tabs_share_one_stream_and_both_show_the_new_balance(open_site: OpenSite, chromium: Browser) -> None:
    """Whichever tab holds the stream: when it closes, the other takes over."""
    async with visited(chromium, open_site, sells=False) as (site, first, complaints):
        await first.goto("/billing")
        await _streams(site, 1)
        second = await first.context.new_page()
        await second.goto("/usage")
        await site.give("alice", "2.50", "a")
        await _shows(first, "$2.50")
        await _shows(second, "$2.50")
        assert site.streams.size == 1
        await first.close()
        await site.give("alice", "1.00", "b")
        await _shows(second, "$3.50")
        await _streams(site, 1)
        assert complaints == []


async def test_a_tab_that_opens_later_is_told_what_the_others_know(open_site: OpenSite, chromium: Browser) -> None:
    async with visited(chromium, open_site, sells=False) as (site, first, _):
        await first.goto("/billing")
        await site.give("alice", "2.50")
        await _shows(first, "$2.50")
        second = await first.context.new_page()

        async def draw_as_before(route: Route) -> None:
            drawn = await route.fetch()
            await route.fulfill(response=drawn, body=(await drawn.text()).replace("$2.50", "$0.00"))

        # As if this page had been drawn before the credits came, and the stream had said so before it listened.
        await second.route("**/usage", draw_as_before)
        await second.goto("/usage")
        await _shows(second, "$2.50")
        assert site.streams.size == 1


async def test_a_hidden_browser_listens_to_nothing_and_comes_back_up_to_date(
    open_site: OpenSite, chromium: Browser
) -> None:
    async with visited(chromium, open_site, sells=False) as (site, page, _):
        await page.goto("/billing")
        await _streams(site, 1)
        await page.evaluate(HIDE, True)
        await _streams(site, 0)
        await site.give("alice", "2.50")
        await page.evaluate(HIDE, False)
        await _shows(page, "$2.50")
        assert site.streams.size == 1


async def test_new_lines_and_calls_are_offered_and_not_forced(open_site: OpenSite, chromium: Browser) -> None:
    async with visited(chromium, open_site, sells=False) as (site, page, _):
        harbor = site.people["alice"].organization_id
        async with site.database.transaction() as db:
            await write(db, a_call(harbor, held="0", ended=datetime.now(UTC) - timedelta(hours=1)))
        await page.goto("/billing")
        await _streams(site, 1)
        link = page.get_by_role("link", name="New lines: show")
        await expect(link).to_be_hidden()
        await site.give("alice", "2.50")
        await expect(link).to_be_visible()
        await link.click()
        await expect(page.get_by_role("link", name="Credits given")).to_be_visible()

        await page.goto("/usage")
        await _streams(site, 1)
        async with site.database.transaction() as db:
            await write(db, a_call(harbor, held="0", model="b/newer", ended=datetime.now(UTC)))
        await page.get_by_role("link", name="New calls: show").click()
        await expect(page.get_by_role("cell", name="b/newer").first).to_be_visible()


async def test_a_payment_in_one_tab_is_seen_in_the_other(open_site: OpenSite, chromium: Browser) -> None:
    """Alice begins to buy elsewhere: Billing draws itself again, and its dialog knows of it."""
    async with visited(chromium, open_site) as (site, page, complaints), site.browser() as elsewhere:
        await page.goto("/billing")
        await _streams(site, 1)
        started = await elsewhere.post("/billing/purchases", data={"amount_usd": "10", "attempt": str(uuid4())})
        await expect(page.get_by_text("Not paid yet")).to_be_visible()
        # It was drawn when the purchase was begun, and again when its payment page was there: the dialog knows of both.
        await expect(page.locator("#buy")).to_contain_text("You began to buy $10.00")
        await page.get_by_role("main").get_by_role("link", name="Buy Credits").click()
        await expect(page.get_by_role("dialog")).to_contain_text("You began to buy $10.00 and have not paid.")
        await expect(page.get_by_role("dialog").get_by_label("Another amount")).to_be_hidden()
        # While the dialog is open nothing is drawn under Alice's hands.
        assert site.processor
        paid = await site.processor.pay(started.headers["location"])
        assert paid.location
        await elsewhere.get(paid.location)
        await _shows(page, "$10.00")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("link", name="Receipt 1")).to_be_visible()
        assert complaints == []


async def test_what_was_typed_is_not_lost(open_site: OpenSite, chromium: Browser) -> None:
    async with visited(chromium, open_site) as (site, page, _), site.browser() as elsewhere:
        await site.give("alice", "1.00", "first")
        await page.goto("/billing")
        await page.get_by_label("From", exact=True).fill("2026-11-01")
        await _streams(site, 1)
        await elsewhere.post("/billing/purchases", data={"amount_usd": "10", "attempt": str(uuid4())})
        await site.give("alice", "2.50")
        await _shows(page, "$3.50")
        await expect(page.get_by_label("From", exact=True)).to_have_value("2026-11-01")
        await expect(page.get_by_text("Not paid yet")).to_be_hidden()


async def test_the_purchases_own_page_follows_it(open_site: OpenSite, chromium: Browser) -> None:
    async with visited(chromium, open_site) as (site, page, _), site.browser() as elsewhere:
        started = await elsewhere.post("/billing/purchases", data={"amount_usd": "10", "attempt": str(uuid4())})
        await page.goto("/billing")
        await page.get_by_role("link", name="Continue to payment").first.click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("This purchase is not paid yet")
        await _streams(site, 1)
        assert site.processor
        paid = await site.processor.pay(started.headers["location"])
        assert paid.location
        await elsewhere.get(paid.location)
        await expect(page.get_by_role("heading", level=1)).to_have_text("Your credits are here")


async def test_without_the_stream_nothing_is_broken(open_site: OpenSite, chromium: Browser) -> None:
    async with visited(chromium, open_site, sells=False) as (site, page, _):
        await page.route("**/events?**", lambda route: route.fulfill(status=503))
        await page.goto("/billing")
        await site.give("alice", "2.50")
        await page.reload()
        await _shows(page, "$2.50")
