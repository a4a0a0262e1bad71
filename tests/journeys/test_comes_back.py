"""`serve` goes away under an open page and comes back: the page finds it by itself and says how things are now."""

import os
import signal

import pytest
from playwright.async_api import Browser, expect

from journeys.browsing import browsing, sign_in
from support.pouch import START_TIMEOUT_S, RunningPouch, until

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

EMAIL = "stays@example.com"
MARK = "window.neverLoadedAgain = true"


async def test_an_open_page_finds_a_serve_that_was_killed_and_shows_the_balance_without_a_reload(
    pouch: RunningPouch, chromium: Browser
) -> None:
    """What was given while nobody answered is told first, and what is given afterwards follows: the stream is there."""
    pouch.add_person(EMAIL, usd="1")
    async with browsing(chromium, pouch) as (page, complaints):
        await sign_in(page, EMAIL)
        await page.goto("/usage")
        await page.evaluate(MARK)
        pouch.does("grant", EMAIL, "2", "--key", "while it listens", "--note", "before")
        await expect(page.locator("#balance")).to_have_text("Available $3.00")

        serve = pouch.child("serve")
        os.kill(serve, signal.SIGKILL)
        pouch.does("grant", EMAIL, "4", "--key", "while nobody answers", "--note", "meanwhile")
        pouch.child("serve", other_than=serve)
        until(pouch.is_answering, what="Pouch to answer again", timeout_s=START_TIMEOUT_S, log=pouch.log)
        await expect(page.locator("#balance")).to_have_text("Available $7.00", timeout=60_000)

        pouch.does("grant", EMAIL, "8", "--key", "when it is back", "--note", "after")
        await expect(page.locator("#balance")).to_have_text("Available $15.00")
        assert await page.evaluate("window.neverLoadedAgain") is True
        # Nothing but the stream itself was missed.
        assert [each for each in complaints if "/events" not in each] == []
