"""Auto top-up and cards in real Chromium: set up from the ⚡, switched off, another card, the bank asks."""

import pytest
from playwright.async_api import Browser, Page, expect

from billing.site import OpenSite, Site
from billing.visiting import visited
from pouch.ledger.operations import Capture
from pouch.ledger.posting import post
from support.cards import uses_sdk
from support.ledger import hold_of, nanos
from support.looks import assert_presentable

pytestmark = [pytest.mark.anyio, pytest.mark.browser, uses_sdk]


async def add_card(page: Page, number: str = "4242 4242 4242 4242") -> None:
    await page.goto("/billing/cards/add")
    await page.get_by_role("button", name="Continue to the card page").click()
    await page.get_by_label("Card number").fill(number)
    await page.get_by_label("Expiration").fill("12 / 34")
    await page.get_by_label("CVC").fill("123")
    await page.get_by_role("button", name="Save card").click()
    if "authentication" in page.url or await page.get_by_role("button", name="Complete authentication").count():
        await page.get_by_role("button", name="Complete authentication").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your card is saved")


async def spend(site: Site, usd: str) -> None:
    alice = site.people["alice"].organization_id
    async with site.database.transaction() as db:
        hold = hold_of(alice, usd)
        await post(db, [hold, Capture(hold, nanos(usd))])


async def work(site: Site) -> None:
    """What the worker does, until nothing is due."""
    topups = site.topups
    assert topups.charging is not None
    for _ in range(5):
        async with site.database.transaction() as db:
            crossed, due = await topups.judge.due(db), await topups.charging.due(db)
        for organization_id in crossed:
            await topups.judge.look(organization_id)
        for attempt_id in due:
            await topups.charging.charge(attempt_id)


async def test_auto_top_up_from_the_lightning_to_the_receipt_and_off_again(
    open_site: OpenSite, chromium: Browser
) -> None:
    """A card, the ⚡ dialog with the charge it would make, the charge, its row, its receipt; then off."""
    async with visited(chromium, open_site) as (site, page, complaints):
        await site.give("alice", "7")
        await page.goto("/billing")
        await page.locator("#balance").click()
        await page.get_by_role("button", name="Auto top-up", exact=True).click()
        dialog = page.get_by_role("dialog", name="Auto top-up")
        await expect(dialog).to_contain_text("Save a card first.")
        await assert_presentable(page, "top-up-1-no-card")
        await add_card(page)
        await assert_presentable(page)
        await page.goto("/billing")
        await page.locator("#balance").click()
        await page.get_by_role("button", name="Auto top-up", exact=True).click()
        await expect(dialog).to_contain_text("Saving would charge $20.00 now.")
        await assert_presentable(page, "top-up-2-dialog")
        await dialog.get_by_role("button", name="Save and charge $20.00").click()
        await expect(page.get_by_role("status").first).to_contain_text("Auto top-up is on.")
        await expect(page.get_by_role("main")).to_contain_text("under way")
        await assert_presentable(page, "top-up-3-under-way")
        await page.goto("/billing")
        await expect(page.get_by_role("main")).to_contain_text("An auto top-up of $20.00 is under way.")
        await work(site)
        # The page draws itself again: going there meanwhile would meet that.
        await expect(page.locator("#balance")).to_have_text("Available $27.00")
        await expect(page.get_by_role("table", name="The last attempts to top up")).to_contain_text("Paid")
        await assert_presentable(page, "top-up-5-billing")
        await page.goto("/billing/auto-top-up")
        await page.get_by_role("main").get_by_role("button", name="Switch off").click()
        await expect(page.get_by_role("status").first).to_contain_text("Auto top-up is off.")
        await assert_presentable(page)
        await spend(site, "27")
        await work(site)
        await page.goto("/billing")
        await expect(page.locator("#balance")).to_have_text("Available $0.00")
        assert complaints == []


async def test_a_changed_amount_is_shown_again_before_it_is_charged(open_site: OpenSite, chromium: Browser) -> None:
    """The dialog said $20.00; with $50.00 typed, nothing is charged until the person has seen that."""
    async with visited(chromium, open_site, script=False) as (site, page, complaints):
        await site.give("alice", "7")
        await add_card(page)
        await page.goto("/billing/auto-top-up")
        await page.get_by_label("Buy", exact=True).fill("50")
        await page.get_by_role("main").get_by_role("button", name="Save and charge $20.00").click()
        await expect(page.get_by_role("main")).to_contain_text("What saving would charge now has changed.")
        await expect(page.get_by_label("Buy", exact=True)).to_have_value("50")
        await page.get_by_role("main").get_by_role("button", name="Save and charge $50.00").click()
        await expect(page.get_by_role("status").first).to_contain_text("Auto top-up is on.")
        await work(site)
        await page.goto("/billing")
        await expect(page.locator("#balance")).to_have_text("Available $57.00")
        # The one thing that the browser's console has to say: the first save was a conflict.
        assert [each for each in complaints if "409" not in each] == []


async def test_what_cannot_work_is_said_beside_its_field(open_site: OpenSite, chromium: Browser) -> None:
    async with visited(chromium, open_site, width=390) as (_, page, _complaints):
        await add_card(page)
        await page.goto("/billing/auto-top-up")
        await page.get_by_label("At most in a month").fill("10")
        await page.get_by_role("main").get_by_role("button", name="Save and charge $20.00").click()
        await expect(
            page.get_by_text("One charge can be $20.00, so the month must allow at least that")
        ).to_be_visible()
        await assert_presentable(page, "top-up-390-field-error")


async def test_cards_are_changed_and_removed(open_site: OpenSite, chromium: Browser) -> None:
    async with visited(chromium, open_site) as (_, page, complaints):
        await add_card(page)
        await add_card(page, "5555 5555 5555 4444")
        await page.goto("/billing")
        cards = page.get_by_role("table", name="Saved cards")
        await expect(cards.get_by_role("row").nth(1)).to_contain_text("Visa ending 4242")
        await page.get_by_role("button", name="Make Mastercard ending 4444 the default").click()
        await expect(cards.get_by_role("row").nth(1)).to_contain_text("Mastercard ending 4444")
        await assert_presentable(page, "top-up-6-cards")
        await page.get_by_role("link", name="Remove Mastercard ending 4444").click()
        await assert_presentable(page)
        await page.get_by_role("button", name="Remove Mastercard ending 4444").click()
        await expect(cards.get_by_role("row")).to_have_count(2)
        assert complaints == []


async def test_a_card_change_takes_the_password_of_the_last_minutes(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        site.forgetful.add(site.people["alice"].email)
        for path in ("/billing/cards/add", "/billing/auto-top-up"):
            answer = await alice.post(path, data={"threshold_usd": "10"})
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/confirm-password?next=")
        assert (await alice.post("/billing/auto-top-up/off")).headers["location"] == "/billing/auto-top-up?done=off"


async def test_the_bank_confirms_what_it_would_not_pay_unasked(open_site: OpenSite, chromium: Browser) -> None:
    """The bank wants its customer: paused, a link by mail, the bank's question, and the rule is on again."""
    async with visited(chromium, open_site) as (site, page, complaints):
        await site.give("alice", "7")
        await add_card(page, "4000 0027 6000 3184")
        await page.goto("/billing/auto-top-up")
        await page.get_by_role("main").get_by_role("button", name="Save and charge $20.00").click()
        await expect(page.get_by_role("status").first).to_contain_text("Auto top-up is on.")
        await work(site)
        await page.goto("/billing")
        await expect(page.get_by_role("main")).to_contain_text("Your bank wants you to confirm $20.00.")
        await assert_presentable(page, "top-up-7-confirm-billing")
        async with site.database.transaction() as db:
            rows = await db.execute("SELECT id FROM topup_attempts")
            ((attempt_id,),) = await rows.fetchall()
        token = site.topups.recovery._links.token(attempt_id)  # noqa: SLF001 -- what the letter holds
        await page.goto(f"/top-up/confirm/{token}")
        await assert_presentable(page, "top-up-8-confirm")
        await page.get_by_role("button", name="Continue to payment").click()
        await page.get_by_label("Card number").fill("4000 0027 6000 3184")
        await page.get_by_label("Expiration").fill("12 / 34")
        await page.get_by_label("CVC").fill("123")
        await page.get_by_role("button", name="Pay $20.00").click()
        await page.get_by_role("button", name="Complete authentication").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Your credits are here")
        await page.goto("/billing")
        await expect(page.locator("#balance")).to_have_text("Available $27.00")
        await expect(page.get_by_role("table", name="The last attempts to top up")).to_contain_text(
            "Confirmed and paid"
        )
        assert complaints == []
