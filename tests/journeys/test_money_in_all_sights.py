"""Purchase, ⚡ set-up, another card, turn-off, refund and recovery on a whole Pouch: light, dark and on a phone."""

import asyncio
from decimal import Decimal

import pytest
from playwright.async_api import Browser

from journeys.browsing import browsing, sign_in
from journeys.money import Look, walk
from support.looks import DESK, PHONE, assert_presentable_at_a_desk, assert_presentable_on_a_phone
from support.pouch import Funds, RunningPouch

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


async def test_a_persons_money_from_the_first_purchase_to_the_banks_question(
    pouch: RunningPouch, chromium: Browser
) -> None:
    """Two people at once, at a desk and on a phone: every page on the way is presentable, and the books agree."""
    walks: dict[str, tuple[int, Look]] = {
        "money-desk@example.com": (DESK, assert_presentable_at_a_desk),
        "money-phone@example.com": (PHONE, assert_presentable_on_a_phone),
    }
    for email in walks:
        pouch.add_person(email)

    async def live(email: str, width: int, look: Look) -> list[str]:
        async with browsing(chromium, pouch, width=width) as (page, complaints):
            await sign_in(page, email)
            await walk(page, pouch, email, look)
            return complaints

    said = await asyncio.gather(*(live(email, *how) for email, how in walks.items()))
    # What the browser itself notes: the card that was declined, and the charge that was shown again.
    assert [each for some in said for each in some if "402" not in each and "409" not in each] == []
    for email in walks:
        assert pouch.balance(email) == Funds(Decimal(40))
    pouch.does("ledger", "check")
