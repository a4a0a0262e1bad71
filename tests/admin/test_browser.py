"""The desk and the refunds in a real browser: light, dark and on a phone; nothing sticks out, axe finds nothing."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, expect

from admin.office import Office, opened
from journeys.browsing import REPORT_VIOLATIONS
from pouch.base.money import Money
from support.cards import serving
from support.looks import assert_presentable

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

"""A folder for pictures to look at."""


@asynccontextmanager
async def visited(
    chromium: Browser, database_url: str, folder: Path, *, scheme: Literal["light", "dark"] = "light", width: int = 1280
) -> AsyncIterator[tuple[Office, Page, list[str]]]:
    """The office, a tab, and what the browser complained of."""
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with (
            opened(database_url, folder, port=listener.getsockname()[1]) as office,
            serving(office.app, listener),
            await chromium.new_context(
                base_url=office.settings.url, color_scheme=scheme, viewport={"width": width, "height": 844}
            ) as context,
        ):
            await context.add_init_script(REPORT_VIOLATIONS)
            context.on("console", note)
            context.on("weberror", lambda error: complaints.append(str(error.error)))
            yield office, await context.new_page(), complaints


async def sign_in(office: Office, page: Page, name: str) -> None:
    await page.context.add_cookies([{"name": "pouch", "value": name, "url": office.settings.url}])


async def look(page: Page, path: str, name: str) -> None:
    """Open a page, see that it is presentable, and keep its picture where one is wanted."""
    await page.goto(path)
    await assert_presentable(page, name)


async def test_what_went_back_is_presentable_to_the_operator_and_the_buyer(
    chromium: Browser, database_url: str, tmp_path: Path
) -> None:
    """All pages of the desk are looked at by the journeys, on a whole Pouch."""
    async with visited(chromium, database_url, tmp_path) as (office, page, complaints):
        shop = office.shop
        first, second = await shop.buy("25.00"), await shop.buy("40.00", "second")
        await shop.spend("30")
        await shop.refund(first, "10.00")
        await shop.object_to(second)
        await shop.warn(second)
        await shop.deliver()
        await office.post("/admin/reconciliation", {})
        await sign_in(office, page, "olga")
        await look(page, f"/admin/purchases/{second.shown_id}", "purchase")
        await look(page, f"/admin/purchases/{first.shown_id}/refund", "refund-form")
        await sign_in(office, page, "alice")
        await look(page, f"/billing/purchases/{first.shown_id}", "bought-refunded")
        await look(page, f"/billing/purchases/{second.shown_id}", "bought-disputed")
        await look(page, f"/billing/purchases/{first.shown_id}/receipt", "receipt")
        assert complaints == []


async def test_the_operator_refunds_with_the_keyboard_alone(
    chromium: Browser, database_url: str, tmp_path: Path
) -> None:
    async with visited(chromium, database_url, tmp_path) as (office, page, complaints):
        purchase = await office.shop.buy("25.00")
        await sign_in(office, page, "olga")
        await page.goto(f"/admin/purchases?q={purchase.number}")
        await page.get_by_role("cell").get_by_role("link").first.press("Enter")
        await page.get_by_role("link", name="Refund", exact=True).press("Enter")
        await page.get_by_label("Amount in dollars").fill("10")
        await page.get_by_label("Note to the customer").fill("Sorry")
        await page.get_by_role("button", name="Refund to the card").press("Enter")
        await expect(page.get_by_role("heading", name="Refunds")).to_be_visible()
        await expect(page.get_by_text("Partly refunded")).to_be_visible()
        assert complaints == []
        assert (await office.shop.has()).posted == Money.parse("15")


async def test_the_buyer_takes_the_unused_part_back_in_two_clicks(
    chromium: Browser, database_url: str, tmp_path: Path
) -> None:
    async with visited(chromium, database_url, tmp_path, width=390) as (office, page, complaints):
        purchase = await office.shop.buy("25.00")
        await office.shop.spend("5.50")
        await sign_in(office, page, "alice")
        await page.goto(f"/billing/purchases/{purchase.shown_id}")
        await page.get_by_role("link", name="Refund $19.50").click()
        await look(page, page.url, "bought-refund-form")
        await page.get_by_role("button", name="Refund $19.50").dblclick()
        await expect(page.get_by_role("heading", name="Part of this purchase was refunded")).to_be_visible()
        assert complaints == []
        assert (await office.shop.has()).posted == Money(0)
        assert await office.shop.count("cards_refunds") == 1
