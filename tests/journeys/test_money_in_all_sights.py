"""Purchase, ⚡ set-up, another card, turn-off, refund and recovery on a whole Pouch: light, dark and on a phone."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import pytest
from playwright.async_api import Browser, Page

from journeys.browsing import browsing, sign_in
from journeys.money import walk
from support.looks import SIGHTS, faults_in_sight
from support.pouch import Funds, RunningPouch

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


async def test_a_persons_money_from_the_first_purchase_to_the_banks_question(
    pouch: RunningPouch, chromium: Browser
) -> None:
    """Three people at once, each in a sight of their own: every page on the way is presentable, and the books agree."""
    emails = [f"money-{scheme}-{width}@example.com" for scheme, width, _ in SIGHTS]
    for email in emails:
        pouch.add_person(email)

    async def live(email: str, scheme: Literal["light", "dark"], width: int, rules: Sequence[str]) -> list[str]:
        async def look(page: Page, step: str) -> None:
            assert await faults_in_sight(page, rules) == [], step

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
