"""Everything that can go wrong at the checkout, in a real browser: at most one credit, and never a dead end."""

import asyncio
import re
from decimal import Decimal
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page, expect

from journeys.browsing import begin_to_buy, browsing, pay, shown_balance, sign_in
from journeys.buyer import PASSWORD, buyer
from support.pouch import Funds, RunningPouch

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

GOOD, DECLINED, ASKS = "4242 4242 4242 4242", "4000 0000 0000 0002", "4000 0027 6000 3184"


async def test_a_declined_card_charges_nothing_and_another_one_pays(pouch: RunningPouch, chromium: Browser) -> None:
    email = add(pouch, "declined")
    async with browsing(chromium, pouch) as (page, complaints):
        await sign_in(page, email)
        await begin_to_buy(page, "10")
        await pay(page, DECLINED)
        await expect(page.get_by_role("alert")).to_contain_text("Your card was declined.")
        assert pouch.balance(email) == Funds(Decimal(0))
        await pay(page, GOOD)
        await arrives(page, "Your credits are here")
        assert complaints == []
    assert pouch.balance(email) == Funds(Decimal(10))


async def test_a_confirmed_payment_credits_and_a_refused_one_does_not(pouch: RunningPouch, chromium: Browser) -> None:
    """The bank asks: "Fail authentication" leads back to the card, "Complete authentication" on to the receipt."""
    email = add(pouch, "authentication")
    async with browsing(chromium, pouch) as (page, complaints):
        await sign_in(page, email)
        await begin_to_buy(page, "10")
        await pay(page, ASKS)
        await page.get_by_role("button", name="Fail authentication").click()
        await expect(page.get_by_role("alert")).to_contain_text("unable to authenticate")
        assert pouch.balance(email) == Funds(Decimal(0))
        await pay(page, ASKS)
        await page.get_by_role("button", name="Complete authentication").click()
        await arrives(page, "Your credits are here")
        assert await shown_balance(page) == "Available $10.00"
        assert complaints == []
    assert pouch.balance(email) == Funds(Decimal(10))


async def test_who_turns_back_is_not_charged_and_may_go_on_later(pouch: RunningPouch, chromium: Browser) -> None:
    email = add(pouch, "cancel")
    async with browsing(chromium, pouch) as (page, complaints):
        await sign_in(page, email)
        await begin_to_buy(page, "10")
        await page.get_by_role("link", name="Back to Pouch").click()
        await arrives(page, "This purchase is not paid yet")
        await expect(page.get_by_role("status")).to_contain_text("You were not charged.")
        assert await shown_balance(page) == "Available $0.00"
        await page.get_by_role("link", name="Continue to payment").click()
        await pay(page, GOOD)
        await arrives(page, "Your credits are here")
        assert complaints == []
    assert pouch.balance(email) == Funds(Decimal(10))


async def test_double_clicks_buy_once(pouch: RunningPouch, chromium: Browser) -> None:
    email = add(pouch, "double")
    async with browsing(chromium, pouch) as (page, _):
        await sign_in(page, email)
        await page.goto("/billing/buy")
        await page.get_by_label("Another amount").fill("10")
        await page.get_by_role("button", name="Continue to payment").dblclick()
        await page.get_by_label("Card number").fill(GOOD)
        await page.get_by_label("Expiration").fill("12 / 34")
        await page.get_by_label("CVC").fill("123")
        await page.get_by_role("button", name="Pay $10.00").dblclick()
        await arrives(page, "Your credits are here")
        assert await purchases(page) == ["Paid"]
    assert pouch.balance(email) == Funds(Decimal(10))


async def test_the_back_button_never_pays_again(pouch: RunningPouch, chromium: Browser) -> None:
    """Back to the paid checkout, forward, back to the form, and sending the form once more."""
    email = add(pouch, "back")
    async with browsing(chromium, pouch) as (page, _):
        await sign_in(page, email)
        await page.goto("/billing/buy")
        await page.get_by_label("Another amount").fill("10")
        await page.get_by_role("button", name="Continue to payment").click()
        await pay(page, GOOD)
        await arrives(page, "Your credits are here")
        await page.go_back()
        # The paid checkout leads on to the receipt by itself, or stands there as it was and can be sent once more.
        if await page.get_by_role("button", name="Pay $10.00").is_visible():
            await pay(page, GOOD)
        await arrives(page, "Your credits are here")
        assert await purchases(page) == ["Paid"]
    assert pouch.balance(email) == Funds(Decimal(10))


async def test_every_click_of_an_impatient_buyer_is_one_purchase(pouch: RunningPouch) -> None:
    """Twenty times the same form at once, then twenty times the same card: one page, one charge."""
    async with buyer(pouch, "impatient@example.com") as bob:
        attempt = str(uuid4())
        pages = await asyncio.gather(*(bob.start("10", attempt) for _ in range(20)))
        (payment_page,) = {page for page in pages if "/pay/" in page}
        await asyncio.gather(*(bob.pay(payment_page) for _ in range(20)))
        assert "Your credits are here" in await bob.visit(await bob.pay(payment_page))
        assert await bob.paid_cents() == [1000]
        assert pouch.balance(bob.email) == Funds(Decimal(10))


async def test_carol_cannot_see_bobs_purchase(pouch: RunningPouch) -> None:
    async with buyer(pouch, "bob-buys@example.com") as bob, buyer(pouch, "carol-looks@example.com") as carol:
        receipt = await bob.pay(await bob.start())
        assert "Your credits are here" in await bob.visit(receipt)
        assert (await carol.client.get(receipt)).status_code == 404
        assert pouch.balance(carol.email) == Funds(Decimal(0))


def add(pouch: RunningPouch, name: str) -> str:
    email = f"{name}-{uuid4().hex[:8]}@example.com"
    pouch.does("user", "add", email, "--password-stdin", input=PASSWORD)
    return email


async def arrives(page: Page, heading: str) -> None:
    """The receipt, or what stands in its place."""
    await expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    assert re.search(r"/billing/purchases/pur_\w+", page.url)


async def purchases(page: Page) -> list[str]:
    """The states of all purchases on Billing."""
    await page.goto("/billing")
    bought = page.get_by_role("table", name="Purchases of credits")
    return [text.strip() for text in await bought.locator(".badge").all_inner_texts()]
