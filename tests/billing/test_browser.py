"""The money pages in real Chromium: with and without script, light and dark, wide and narrow, by keyboard alone."""

import pytest
from playwright.async_api import Browser, Page, expect

from billing.site import OpenSite
from billing.visiting import visited
from pouch.base.ids import new_id
from support.busy import make_busy
from support.cards import uses_sdk
from support.looks import assert_presentable

pytestmark = [pytest.mark.anyio, pytest.mark.browser, uses_sdk]


async def _buy_ten_dollars(page: Page) -> None:
    """From the balance in the top right to the receipt, as the seed tells it."""
    await page.goto("/")
    await page.get_by_role("button", name="Available $0.00").click()
    await page.get_by_role("button", name="Buy Credits").click()
    await page.get_by_label("Another amount").fill("10")
    await page.get_by_role("button", name="Continue to payment").click()
    await page.get_by_label("Card number").fill("4242 4242 4242 4242")
    await page.get_by_label("Expiration").fill("12 / 34")
    await page.get_by_label("CVC").fill("123")
    await page.get_by_role("button", name="Pay $10.00").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your credits are here")
    await expect(page.locator("#balance")).to_have_text("Available $10.00")
    assert (await page.locator("#balance").inner_text()).strip() == "Available $10.00"


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
async def test_credits_are_bought_from_the_top_right_corner(
    open_site: OpenSite, chromium: Browser, script: bool
) -> None:
    """The strict policy lets the form lead to the checkout and nowhere else, and says nothing on the way."""
    async with visited(chromium, open_site, script=script) as (_, page, complaints):
        await _buy_ten_dollars(page)
        assert complaints == []


async def test_every_page_is_presentable(open_site: OpenSite, chromium: Browser) -> None:
    async with visited(chromium, open_site) as (site, page, complaints):
        for path in ("/", "/billing", "/billing/buy", "/usage"):
            await page.goto(path)
            await assert_presentable(page)
        await _buy_ten_dollars(page)
        await assert_presentable(page)
        await page.get_by_role("link", name="Receipt").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Receipt 1")
        await assert_presentable(page)
        await site.give("alice", "2.500000022")
        await page.goto("/billing")
        await assert_presentable(page)
        await page.get_by_role("link", name="Credits given").click()
        await assert_presentable(page)
        await page.locator("#balance").click()
        await assert_presentable(page)
        await page.get_by_role("button", name="Buy Credits").click()
        await assert_presentable(page)
        assert complaints == []


async def test_a_busy_account_is_presentable(open_site: OpenSite, chromium: Browser) -> None:
    """Many calls of several models, one purchase under way, and the page of a call."""
    async with visited(chromium, open_site) as (site, page, complaints), site.browser() as elsewhere:
        await site.give("alice", "20")
        alice = site.people["alice"]
        async with site.database.transaction() as db:
            await make_busy(db, alice.organization_id, alice.person_id, [new_id(), new_id()], calls=400)
        await elsewhere.post("/billing/purchases", data={"amount_usd": "10", "attempt": "a"})
        for path in (
            "/usage",
            "/usage?days=90",
            "/usage?days=7&model=pouch%2Fpaid",
            "/usage?model=none",
            "/billing?kind=calls",
        ):
            await page.goto(path)
            await assert_presentable(page)
        await page.goto("/usage")
        await page.get_by_text("The same as a table").click()
        await assert_presentable(page)
        await page.get_by_role("link", name="Why: ").first.click()
        await expect(page.get_by_role("heading", name="Why this price")).to_be_visible()
        await assert_presentable(page)
        await page.goto("/billing")
        await assert_presentable(page)
        await page.goto("/billing/buy")
        await page.get_by_role("main").get_by_text("Buy more anyway").click()
        await assert_presentable(page)
        assert complaints == []


async def test_without_script_every_choice_and_second_step_is_there(open_site: OpenSite, chromium: Browser) -> None:
    async with visited(chromium, open_site, script=False) as (site, page, complaints), site.browser() as elsewhere:
        await site.give("alice", "20")
        alice = site.people["alice"]
        async with site.database.transaction() as db:
            await make_busy(db, alice.organization_id, alice.person_id, [new_id()], calls=60)
        await page.goto("/billing")
        await page.get_by_label("Kind").select_option("Credits given")
        await page.get_by_role("button", name="Apply").click()
        await expect(page.get_by_text("1 line, $20.00.")).to_be_visible()
        await page.goto("/usage")
        await page.get_by_label("Model", exact=True).select_option("pouch/paid")
        await page.get_by_role("button", name="Apply").click()
        await expect(page.get_by_role("table", name="Calls, newest first").get_by_text("openai/")).to_have_count(0)
        await elsewhere.post("/billing/purchases", data={"amount_usd": "10", "attempt": "a"})
        await page.goto("/billing/buy")
        await expect(page.get_by_text("You began to buy $10.00 and have not paid.")).to_be_visible()
        await expect(page.get_by_label("Another amount")).to_be_hidden()
        await page.get_by_role("main").get_by_text("Buy more anyway").click()
        await page.get_by_label("Another amount").fill("7")
        await page.get_by_role("button", name="Continue to payment").click()
        await expect(page.get_by_role("button", name="Pay $7.00")).to_be_visible()
        assert complaints == []


async def test_everything_can_be_done_by_keyboard(open_site: OpenSite, chromium: Browser) -> None:
    async with visited(chromium, open_site) as (_, page, _complaints):
        await page.goto("/billing")
        await page.locator("#balance").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#balance-menu")).to_be_visible()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog", name="Buy Credits")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog", name="Buy Credits")).to_be_hidden()
        # The menu that held the button has closed, so its own button has the focus again.
        await expect(page.locator("#balance")).to_be_focused()


async def test_an_amount_that_is_refused_stays_in_its_field(open_site: OpenSite, chromium: Browser) -> None:
    async with visited(chromium, open_site, width=390) as (_, page, _complaints):
        await page.goto("/billing/buy")
        await page.get_by_label("Another amount").fill("3")
        await page.get_by_role("button", name="Continue to payment").click()
        await expect(page.get_by_text("The amount must be from $5.00")).to_be_visible()
        await expect(page.get_by_label("Another amount")).to_have_value("3")
        await assert_presentable(page)


async def test_a_form_of_another_site_is_refused(open_site: OpenSite, chromium: Browser) -> None:
    """Another host name on the same machine posts to Pouch: no cookie, no purchase, a plain refusal."""
    async with visited(chromium, open_site) as (site, page, _complaints):
        form = (
            f'<form method="post" action="{site.settings.url}/billing/purchases"><input name="amount_usd" value="10">'
        )
        await page.route(
            "http://evil.localhost/**",
            lambda route: route.fulfill(body=form + "<button>Win</button></form>", content_type="text/html"),
        )
        await page.goto("http://evil.localhost/")
        await page.get_by_role("button", name="Win").click()
        await expect(page.get_by_text("This came from another site")).to_be_visible()
        await page.goto("/billing")
        await expect(page.get_by_text("No purchases yet.")).to_be_visible()
