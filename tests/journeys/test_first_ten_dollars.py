"""The main job, from the printed link to the balance after a call, in a real browser and with real clients."""

import json
import re
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, OpenAI
from playwright.async_api import Browser, Page, expect

from journeys.browsing import begin_to_buy, browsing, pay, shown_balance
from journeys.clients import INPUT_USD, OUTPUT_USD, cost_of
from support.pouch import Funds, RunningPouch, until

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

ALICE = "alice@example.com"
WORDS = 1_000


async def test_the_first_ten_dollars(new_pouch: RunningPouch, chromium: Browser) -> None:
    """Alice opens the printed link, buys, makes a key, calls a paid model and finds every nano-dollar of it."""
    pouch = new_pouch
    async with browsing(chromium, pouch) as (page, complaints):
        await register_by_the_printed_link(page, pouch)
        assert await shown_balance(page) == "Available $0.00"
        await begin_to_buy(page, "10")
        await pay(page, "4242 4242 4242 4242")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Your credits are here")
        assert await shown_balance(page) == "Available $10.00"
        assert_confirmed_by_mail(pouch, receipt_url=page.url)

        secret, curl = await make_a_key(page)
        spent = run_as_printed(curl, pouch.folder)
        with OpenAI(base_url=f"{pouch.url}/v1", api_key=secret) as client:
            cost = stream_known_words(client)
        assert cost == WORDS * (INPUT_USD + OUTPUT_USD)
        left = 10 - spent - cost

        await page.goto("/billing")
        assert await shown_balance(page) == "Available $9.99"
        newest = page.get_by_role("table", name="Changes of your balance").locator("tbody tr").first
        await expect(newest).to_contain_text("pouch/paid")
        await expect(newest).to_contain_text("1,000 tokens in, 1,000 out")
        assert await exact_amounts(newest) == [-cost, left]
        assert await exact_amounts(page.locator(".facts")) == [left, 0, spent + cost]
        assert pouch.balance(ALICE) == Funds(left)
        assert pouch.does("ledger", "check").startswith("All is well: ")
        assert complaints == []


async def test_without_credits_paid_models_say_so_and_free_ones_answer(pouch: RunningPouch) -> None:
    """Bob spends what he has; the call that no longer fits is refused with what it needs and where to buy."""
    has = Decimal("0.000500000")
    with OpenAI(base_url=f"{pouch.url}/v1", api_key=pouch.add_person("bob@example.com", usd=str(has))) as client:
        while True:
            try:
                has -= Decimal(str(cost_of(say(client, "pouch/paid", "word " * 40).usage)))
            except APIStatusError as refused:
                error = refused
                break
        assert error.status_code == 402
        assert error.type == "insufficient_credits"
        said = error.body
        assert isinstance(said, dict)
        assert said["metadata"]["limit_source"] == "credits"
        assert Decimal(said["metadata"]["available_usd"]) == has > 0
        assert Decimal(said["metadata"]["required_usd"]) > has
        assert said["metadata"]["topup_url"] == f"{pouch.url}/billing"
        assert f"Buy credits: {pouch.url}/billing" in error.message
        assert say(client, "pouch/free", "still here").choices[0].message.content == "still here"
    assert pouch.balance("bob@example.com") == Funds(has)


async def test_who_never_had_credits_is_told_the_same(pouch: RunningPouch) -> None:
    with OpenAI(base_url=f"{pouch.url}/v1", api_key=pouch.add_person("carol@example.com")) as client:
        with pytest.raises(APIStatusError, match="Buy credits") as refused:
            say(client, "pouch/paid", "hello")
        assert refused.value.status_code == 402
        assert say(client, "pouch/free", "hello").choices[0].message.content == "hello"
    assert pouch.balance("carol@example.com") == Funds(Decimal(0))


async def register_by_the_printed_link(page: Page, pouch: RunningPouch) -> None:
    await page.goto(pouch.first_link)
    await page.get_by_label("E-mail").fill(ALICE)
    await page.get_by_label("Password").fill("correct horse battery")
    await page.get_by_role("button", name="Create account").click()
    await expect(page.locator("#balance")).to_be_visible()


async def make_a_key(page: Page) -> tuple[str, str]:
    """The secret that is shown once, and the line to try it with."""
    await page.get_by_role("link", name="Keys").first.click()
    await page.get_by_label("Name").fill("Laptop")
    await page.get_by_role("button", name="Make key").click()
    secret = await page.get_by_label("Key", exact=True).input_value()
    assert secret.startswith("sk-pouch-")
    curl = await page.locator("pre").inner_text()
    assert secret in curl
    return secret, curl


def run_as_printed(curl: str, folder: Path) -> Decimal:
    """Paste the line into a shell: what the call cost. Nothing where there is no curl."""
    if shutil.which("curl") is None:
        return Decimal(0)
    done = subprocess.run(["sh", "-c", curl], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    answer: dict[str, Any] = json.loads(done.stdout, parse_float=Decimal)
    assert answer["choices"][0]["message"]["content"] == "Say hello"
    assert answer["usage"]["cost"] == 2 * (INPUT_USD + OUTPUT_USD)
    cost = answer["usage"]["cost"]
    assert isinstance(cost, Decimal)
    return cost


def stream_known_words(client: OpenAI) -> Decimal:
    """Stream an answer of as many words as were said: what `usage.cost` in the last chunk says."""
    said, usage = "", None
    for chunk in client.chat.completions.create(
        model="pouch/paid",
        messages=[{"role": "user", "content": "word " * WORDS}],
        stream=True,
        stream_options={"include_usage": True},
    ):
        usage = chunk.usage or usage
        said += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert said.split() == ["word"] * WORDS
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (WORDS, WORDS)
    return cost_of(usage)


def say(client: OpenAI, model: str, text: str) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], max_tokens=40)


def assert_confirmed_by_mail(pouch: RunningPouch, *, receipt_url: str) -> None:
    subject = "You bought $10.00 of credits"
    mail = until(
        lambda: next((mail for mail in pouch.mails(ALICE) if mail["subject"] == subject), None), what="the confirmation"
    )
    assert re.search(r"Available now: \$10\.00", mail["text"])
    purchase = receipt_url.partition("?")[0]
    assert purchase in mail["text"]
    assert f'href="{purchase}"' in mail["html"]


async def exact_amounts(within: Any) -> list[Decimal]:
    """The nine decimals that stand behind the rounded amounts of a page."""
    return [Decimal(await each.get_attribute("value") or "") for each in await within.locator("data").all()]
