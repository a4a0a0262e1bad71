"""Alice pays a fee and a tax, redeems a voucher, sets an alert, prints a statement: light, dark, wide, on a phone."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Page, expect

from billing.site import OpenSite, Site
from billing.visiting import SIGHTS, assert_presentable, visited
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.ledger.grants import grant
from pouch.ledger.operations import Capture
from pouch.ledger.posting import post
from pouch.vouchers.making import make
from pouch.vouchers.types import Wish
from support.ledger import hold_of

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.timeout(400)]

CHARGES = 'fee_percent = "4.4"\nfee_fixed_usd = "0.30"\ntax = "fixed"\ntax_percent = "20"\ntax_name = "VAT"'


@pytest.mark.parametrize(("scheme", "width"), SIGHTS)
async def test_the_money_pages_are_used_and_look_right(
    open_site: OpenSite, scheme: Literal["light", "dark"], width: int
) -> None:
    async with visited(open_site, scheme=scheme, width=width, payments=CHARGES) as (site, page, complaints):
        code = await prepare(site)
        await page.goto("/billing/buy")
        await expect(page.get_by_text("VAT 20 %").first).to_be_attached()
        await look(page, f"buy-{scheme}-{width}")
        await page.get_by_role("button", name="Continue to payment").first.click()
        await page.get_by_role("button", name="Pay $31.68").click()
        await expect(page.get_by_role("heading", name="Your credits are here")).to_be_visible()
        await expect(page.locator("#main").get_by_text("$31.68")).to_be_visible()
        await look(page, f"purchase-{scheme}-{width}")
        await page.get_by_role("link", name="Receipt", exact=True).click()
        await look(page, f"receipt-{scheme}-{width}")
        await page.go_back()
        await page.get_by_role("link", name="Refund $30.00").click()
        await expect(page.get_by_text("The fee of $1.40 is not refunded.")).to_be_visible()
        await look(page, f"refund-{scheme}-{width}")
        await page.get_by_role("button", name="Refund $30.00").click()
        await expect(page.get_by_text("$30.00 went back to your card")).to_be_visible()
        await page.get_by_role("link", name="Receipt", exact=True).click()
        await look(page, f"receipt-refunded-{scheme}-{width}")

        await save_card(site, page)
        await page.goto("/billing/auto-top-up?threshold_usd=30&amount_usd=20")
        await expect(page.get_by_text("Saving would charge $50.47 now.")).to_be_visible()
        await look(page, f"auto-top-up-{scheme}-{width}")

        await page.goto("/billing/redeem")
        await page.get_by_label("Code").fill("NONE-SUCH-1")
        await page.get_by_role("button", name="Redeem").click()
        await expect(page.get_by_text("This code is not known here.")).to_be_visible()
        await look(page, f"redeem-{scheme}-{width}")
        await page.get_by_label("Code").fill(code)
        await page.get_by_role("button", name="Redeem").click()
        await expect(page.get_by_text("+$5.00")).to_be_visible()

        await page.goto("/billing/alerts")
        await page.get_by_label("When the balance falls below").fill("12.50")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("Saved.")).to_be_visible()
        await expect(page.get_by_label("When the balance falls below")).to_have_value("12.50")
        await look(page, f"alerts-{scheme}-{width}")

        await page.goto("/billing")
        await expect(page.get_by_role("heading", name="What your credits are")).to_be_visible()
        await expect(page.get_by_text("At today's pace")).to_be_visible()
        await look(page, f"billing-{scheme}-{width}")
        await page.get_by_role("button", name="Available").click()
        await expect(page.locator("#balance-menu")).to_contain_text("left")
        await look(page, f"menu-{scheme}-{width}", whole=False)

        await page.goto("/billing/statements")
        await page.get_by_role("link", name=f"{datetime.now(UTC):%B %Y}", exact=True).click()
        await expect(page.get_by_text("The month is not over")).to_be_visible()
        await look(page, f"statement-{scheme}-{width}")
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


async def look(page: Page, name: str, *, whole: bool = True) -> None:
    """Nothing is wrong with the page; where POUCH_TEST_PICTURES names a folder, a picture of it is put there."""
    await assert_presentable(page)
    if folder := os.environ.get("POUCH_TEST_PICTURES"):
        await page.screenshot(path=Path(folder) / f"{name}.png", full_page=whole)
