"""One person's money from the first purchase to the bank's question, as they walk through it in a browser.

Each step ends with `look`, which says what is wanted of the page: a test wants it presentable, `bin/shots` a picture.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from playwright.async_api import Page, expect

from journeys.browsing import begin_to_buy, pay
from support.pouch import RunningPouch, until

Look: TypeAlias = Callable[[Page, str], Awaitable[None]]
PATIENCE_S = 60
VISA, MASTERCARD, ALWAYS_ASKS = "4242 4242 4242 4242", "5555 5555 5555 4444", "4000 0027 6000 3184"


async def has(page: Page, usd: str) -> None:
    """The top right corner says so, by itself."""
    await expect(page.locator("#balance")).to_have_text(f"Available ${usd}")


async def buy(page: Page, look: Look) -> str:
    """Seven dollars: the dialog, the payment page, the receipt. Gives the purchase's address."""
    await page.goto("/billing")
    await look(page, "01-billing-at-first")
    await page.locator("#balance").click()
    await page.get_by_role("button", name="Buy Credits").click()
    await page.get_by_label("Another amount").fill("7")
    await look(page, "02-buy-dialog")
    await page.goto("/billing")
    await begin_to_buy(page, "7")
    await look(page, "03-payment-page")
    await pay(page, "4000 0000 0000 0002")
    await expect(page.get_by_role("alert")).to_be_visible()
    await look(page, "04-declined")
    await pay(page, VISA)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your credits are here")
    await has(page, "7.00")
    await look(page, "05-bought")
    return page.url.partition("?")[0]


async def switch_on(page: Page, look: Look) -> None:
    """From the ⚡: first a card, then the charge that saving makes, then the credits."""
    await page.goto("/billing")
    await open_lightning(page)
    await expect(page.get_by_role("dialog", name="Auto top-up")).to_contain_text("Save a card first.")
    await look(page, "06-top-up-without-card")
    await add_card(page, VISA, look)
    await page.goto("/billing")
    await open_lightning(page)
    dialog = page.get_by_role("dialog", name="Auto top-up")
    await expect(dialog).to_contain_text("Saving would charge $20.00 now.")
    await look(page, "09-top-up-dialog")
    await dialog.get_by_role("button", name="Save and charge $20.00").click()
    await expect(page.get_by_role("status").first).to_contain_text("Auto top-up is on.")
    await has(page, "27.00")
    await page.goto("/billing")
    await expect(page.get_by_role("table", name="The last attempts to top up")).to_contain_text("Paid")
    await look(page, "10-topped-up")


async def change_card(page: Page, look: Look) -> None:
    """Another card becomes the default, and the first one is removed."""
    await add_card(page, MASTERCARD)
    await page.goto("/billing")
    await page.get_by_role("button", name="Make Mastercard ending 4444 the default").click()
    cards = page.get_by_role("table", name="Saved cards")
    await expect(cards.get_by_role("row").nth(1)).to_contain_text("Mastercard ending 4444")
    await look(page, "11-two-cards")
    await page.get_by_role("link", name="Remove Visa ending 4242").click()
    await look(page, "12-remove-card")
    await page.get_by_role("button", name="Remove Visa ending 4242").click()
    await expect(cards.get_by_role("row")).to_have_count(2)
    await look(page, "13-one-card")


async def switch_off(page: Page, look: Look) -> None:
    await page.goto("/billing/auto-top-up")
    await look(page, "14-top-up-on")
    await page.get_by_role("main").get_by_role("button", name="Switch off").click()
    await expect(page.get_by_role("status").first).to_contain_text("Auto top-up is off.")
    await look(page, "15-top-up-off")


async def take_back(page: Page, purchase: str, look: Look) -> None:
    """The unused part of the purchase goes back to the card."""
    await page.goto(purchase)
    await look(page, "16-purchase")
    await page.get_by_role("link", name="Refund $7.00").click()
    await look(page, "17-refund-form")
    await page.get_by_role("button", name="Refund $7.00").click()
    await has(page, "20.00")
    await expect(page.get_by_role("main")).to_contain_text("$7.00")
    async with asyncio.timeout(PATIENCE_S):
        # The card processor says so later, and the page is only as new as its last visit.
        while "refunded" not in await page.get_by_role("heading", level=1).inner_text():
            await asyncio.sleep(0.5)
            await page.goto(purchase)
    await look(page, "18-refunded")


async def recover(page: Page, pouch: RunningPouch, email: str, look: Look) -> None:
    """The bank wants to hear from its customer: a letter, its link, the bank's question, and the credits are there."""
    await add_card(page, ALWAYS_ASKS)
    await page.goto("/billing")
    await page.get_by_role("button", name="Make Visa ending 3184 the default").click()
    await page.goto("/billing/auto-top-up")
    await page.get_by_role("main").get_by_label("When I have less than").fill("25")
    await page.get_by_role("main").get_by_role("button", name=re.compile("Switch on|Save")).click()
    # With a limit above the balance saving would charge now, so it is shown first.
    await expect(page.get_by_role("main")).to_contain_text("What saving would charge now has changed.")
    await look(page, "19-charge-shown-again")
    await page.get_by_role("main").get_by_role("button", name="Save and charge $20.00").click()
    await expect(page.get_by_role("status").first).to_contain_text("Auto top-up is on.")
    link = await asyncio.to_thread(
        until, lambda: mailed_link(pouch, email), what="the letter with the link", log=pouch.log
    )
    await page.goto("/billing")
    await expect(page.get_by_role("main")).to_contain_text("Your bank wants you to confirm $20.00.")
    await look(page, "20-bank-asks")
    await page.goto(link)
    await look(page, "21-mailed-link")
    await page.get_by_role("button", name="Continue to payment").click()
    await page.get_by_label("Card number").fill(ALWAYS_ASKS)
    await page.get_by_label("Expiration").fill("12 / 34")
    await page.get_by_label("CVC").fill("123")
    await page.get_by_role("button", name="Pay $20.00").click()
    await expect(page.get_by_role("button", name="Complete authentication")).to_be_visible()
    await look(page, "22-bank-question")
    await page.get_by_role("button", name="Complete authentication").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your credits are here")
    await has(page, "40.00")
    await look(page, "23-recovered")
    await page.goto("/billing")
    await expect(page.get_by_role("table", name="The last attempts to top up")).to_contain_text("Confirmed and paid")
    await look(page, "24-billing-at-last")


async def open_lightning(page: Page) -> None:
    await page.locator("#balance").click()
    await page.get_by_role("button", name="Auto top-up", exact=True).click()


async def add_card(page: Page, number: str, look: Look | None = None) -> None:
    """Save a card without paying; the bank may ask for that, too."""
    await page.goto("/billing/cards/add")
    if look:
        await look(page, "07-add-card")
    await page.get_by_role("button", name="Continue to the card page").click()
    await page.get_by_label("Card number").fill(number)
    await page.get_by_label("Expiration").fill("12 / 34")
    await page.get_by_label("CVC").fill("123")
    await page.get_by_role("button", name="Save card").click()
    if number == ALWAYS_ASKS:
        await page.get_by_role("button", name="Complete authentication").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your card is saved")
    if look:
        await look(page, "08-card-saved")


def mailed_link(pouch: RunningPouch, email: str) -> str | None:
    """The path of the newest link by which a top-up is confirmed."""
    texts = (mail["text"] for mail in pouch.mails(email))
    return next((hit[0] for text in texts if (hit := re.search(r"/top-up/confirm/\S+", text))), None)


async def walk(page: Page, pouch: RunningPouch, email: str, look: Look) -> None:
    """All of it, one after another."""
    purchase = await buy(page, look)
    await switch_on(page, look)
    await change_card(page, look)
    await switch_off(page, look)
    await take_back(page, purchase, look)
    await recover(page, pouch, email, look)
