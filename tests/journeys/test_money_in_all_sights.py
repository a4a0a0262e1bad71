"""Purchase, ⚡ set-up, another card, turn-off, refund and recovery on a whole Pouch: light, dark and on a phone."""

import asyncio
from decimal import Decimal
from typing import Literal

import pytest
from playwright.async_api import Browser, Page

from journeys.browsing import browsing, sign_in
from journeys.money import walk
from journeys.test_every_page import OF_COLOURS, OF_SIZES, OVERFLOW, found_by_axe
from support.pouch import Funds, RunningPouch

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

SIGHTS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 1280), ("light", 390))


async def test_a_persons_money_from_the_first_purchase_to_the_banks_question(
    pouch: RunningPouch, chromium: Browser
) -> None:
    """Three people at once, each in a sight of their own: every page on the way is presentable, and the books agree."""
    emails = [f"money-{scheme}-{width}@example.com" for scheme, width in SIGHTS]
    for email in emails:
        pouch.add_person(email)

    async def live(email: str, scheme: Literal["light", "dark"], width: int) -> list[str]:
        # All rules where all is light and wide; elsewhere those that may differ there.
        rules = OF_COLOURS if scheme == "dark" else OF_SIZES if width < 500 else {}

        async def look(page: Page, step: str) -> None:
            assert await found_by_axe(page, rules) == [], step
            assert await page.evaluate(OVERFLOW) == 0, step

        async with browsing(chromium, pouch, scheme=scheme, width=width) as (page, complaints):
            await sign_in(page, email)
            await walk(page, pouch, email, look)
            return complaints

    said = await asyncio.gather(*(live(email, *sight) for email, sight in zip(emails, SIGHTS, strict=True)))
    # What the browser itself notes: the card that was declined, and the charge that was shown again.
    assert [each for some in said for each in some if "402" not in each and "409" not in each] == []
    for email in emails:
        assert pouch.balance(email) == Funds(Decimal(40))
    pouch.does("ledger", "check")
