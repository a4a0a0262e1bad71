"""A person at a browser: what they see, and what the browser complains of meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from playwright.async_api import Browser, ConsoleMessage, Page, expect

from support.going import goes_again
from support.pouch import RunningPouch

PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)  # five seconds are too few for a machine that does three things at once
REPORT_VIOLATIONS = (
    "document.addEventListener('securitypolicyviolation', "
    "(event) => console.error(`refused by the policy: ${event.effectiveDirective} ${event.blockedURI}`))"
)


@asynccontextmanager
async def browsing(
    browser: Browser,
    pouch: RunningPouch,
    *,
    scheme: Literal["light", "dark"] = "light",
    width: int = 1280,
    script: bool = True,
    trusts_all: bool = False,
) -> AsyncIterator[tuple[Page, list[str]]]:
    """A new person's browser: its page, and everything it complained of. `trusts_all`: certificates of tests, too."""
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(f"{message.location['url']}: {message.text}")

    context = await browser.new_context(
        base_url=pouch.url,
        color_scheme=scheme,
        java_script_enabled=script,
        ignore_https_errors=trusts_all,
        viewport={"width": width, "height": 900},
    )
    context.set_default_timeout(PATIENCE_MS)
    await context.add_init_script(REPORT_VIOLATIONS)
    page = goes_again(await context.new_page())
    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        yield page, complaints
    finally:
        await context.close()


async def sign_in(page: Page, email: str, password: str = "correct horse battery") -> None:
    """Sign in as a registered person."""
    await page.goto("/sign-in")
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("#balance")).to_be_visible()


async def begin_to_buy(page: Page, dollars: str) -> None:
    """From the balance in the top right corner to the checkout."""
    await page.locator("#balance").click()
    await page.get_by_role("button", name="Buy Credits").click()
    await page.get_by_label("Another amount").fill(dollars)
    await page.get_by_role("button", name="Continue to payment").click()
    await expect(page.get_by_label("Card number")).to_be_visible()


async def pay(page: Page, number: str) -> None:
    """Fill in the embedded checkout and pay."""
    await page.get_by_label("Card number").fill(number)
    await page.get_by_label("Expiration").fill("12 / 34")
    await page.get_by_label("CVC").fill("123")
    await page.get_by_role("button", name="Pay $").click()


async def shown_balance(page: Page) -> str:
    """What the button in the top right corner says, word for word."""
    return (await page.locator("#balance").inner_text()).strip()
