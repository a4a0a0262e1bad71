"""Alice pays a fee and a tax, redeems a voucher, sets an alert, prints a statement: light, dark, wide, on a phone."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, Page, expect

from billing.site import OpenSite, Site
from billing.visiting import visited
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.ledger.grants import grant
from pouch.ledger.operations import Capture
from pouch.ledger.posting import post
from pouch.vouchers.making import make
from pouch.vouchers.types import Wish
from support.ledger import hold_of
from support.looks import assert_presentable

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.timeout(400)]

CHARGES = 'fee_percent = "4.4"\nfee_fixed_usd = "0.30"\ntax = "fixed"\ntax_percent = "20"\ntax_name = "VAT"'


async def test_the_money_pages_are_used_and_look_right(open_site: OpenSite, chromium: Browser) -> None:
    async with visited(chromium, open_site, payments=CHARGES) as (site, page, complaints):
        code = await prepare(site)
        await page.goto("/billing/buy")
        await expect(page.get_by_text("VAT 20 %").first).to_be_attached()
        await assert_presentable(page, "buy")
        await page.get_by_role("button", name="Continue to payment").first.click()
        await page.get_by_role("button", name="Pay $31.68").click()
        await expect(page.get_by_role("heading", name="Your credits are here")).to_be_visible()
        await expect(page.locator("#main").get_by_text("$31.68")).to_be_visible()
        await assert_presentable(page, "purchase")
        await page.get_by_role("link", name="Receipt", exact=True).click()
        await assert_presentable(page, "receipt")
        await page.go_back()
        await page.get_by_role("link", name="Refund $30.00").click()
        await expect(page.get_by_text("The fee of $1.40 is not refunded.")).to_be_visible()
        await assert_presentable(page, "refund")
        await page.get_by_role("button", name="Refund $30.00").click()
        await expect(page.get_by_text("$30.00 went back to your card")).to_be_visible()
        await page.get_by_role("link", name="Receipt", exact=True).click()
        await assert_presentable(page, "receipt-refunded")

        await save_card(site, page)
        await page.goto("/billing/auto-top-up?threshold_usd=30&amount_usd=20")
        await expect(page.get_by_text("Saving would charge $50.47 now.")).to_be_visible()
        await assert_presentable(page, "auto-top-up")

        await page.goto("/billing/redeem")
        await page.get_by_label("Code").fill("NONE-SUCH-1")
        await page.get_by_role("button", name="Redeem").click()
        await expect(page.get_by_text("This code is not known here.")).to_be_visible()
        await assert_presentable(page, "redeem")
        await page.get_by_label("Code").fill(code)
        await page.get_by_role("button", name="Redeem").click()
        await expect(page.get_by_text("+$5.00")).to_be_visible()

        await page.goto("/billing/alerts")
        await page.get_by_label("When the balance falls below").fill("12.50")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("Saved.")).to_be_visible()
        await expect(page.get_by_label("When the balance falls below")).to_have_value("12.50")
        await assert_presentable(page, "alerts")

        await page.goto("/billing")
        await expect(page.get_by_role("heading", name="What your credits are")).to_be_visible()
        await expect(page.get_by_text("At today's pace")).to_be_visible()
        await assert_presentable(page, "billing")
        await page.get_by_role("button", name="Available").click()
        await expect(page.locator("#balance-menu")).to_contain_text("left")
        await assert_presentable(page, "menu")

        await page.goto("/billing/statements")
        await page.get_by_role("link", name=f"{datetime.now(UTC):%B %Y}", exact=True).click()
        await expect(page.get_by_text("The month is not over")).to_be_visible()
        await assert_presentable(page, "statement")
        assert [each for each in complaints if "404" not in each] == []


async def save_card(site: Site, page: Page) -> None:
    alice = site.people["alice"]
    setup = await site.topups.sync.cards.start(
        organization_id=alice.organization_id, person_id=alice.person_id, email=alice.email, attempt=new_id().hex
    )
    assert site.processor is not None
    assert setup.session_url is not None
    await site.processor.pay(setup.session_url)
    await page.goto(f"/billing/cards/added/{setup.shown_id}")


async def prepare(site: Site) -> str:
    """Alice has credits that expire, has spent some today, and is told a code."""
    alice = site.people["alice"].organization_id
    async with site.database.transaction() as db:
        until = datetime.now(UTC) + timedelta(days=30)
        await grant(db, alice, Money.parse("8"), key="browser", note="Spring gift", expires_at=until)
        hold = hold_of(alice, "3")
        await post(db, [hold])
        await post(db, [Capture(hold, Money.parse("0.5").nanos)])
        return (await make(db, Wish(Money.parse("5"), "Workshop", credits_days=60), made_by="test"))[1]
