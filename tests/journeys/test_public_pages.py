"""What a stranger sees, and the playground, in a whole Pouch and real Chromium."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, expect

from journeys.browsing import PATIENCE_MS, browsing, sign_in
from support.looks import assert_presentable
from support.pouch import RunningPouch, until

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

TOML = """
[embedded]
models = true
[[upstreams]]
id = "up"
base_url = "http://127.0.0.1:9/v1"
[[models]]
id = "up/one"
upstream = "up"
upstream_model = "one"
name = "One"
context_window = 1000
max_tokens = 100
price = { input = "PRICE", output = "2" }
"""


async def test_a_stranger_finds_a_model_by_keyboard(pouch: RunningPouch, chromium: Browser) -> None:
    async with browsing(chromium, pouch) as (page, complaints):
        await page.goto("/")
        await page.get_by_role("link", name="Models and prices").click()
        # A key that is pressed before the page has its script is lost, as on every site.
        await page.wait_for_url("**/provider", wait_until="load")
        await page.keyboard.press("/")
        await expect(page.get_by_label("Search")).to_be_focused()
        await page.keyboard.type("coder")
        await page.keyboard.press("Enter")
        await expect(page.locator(".model")).to_have_count(1)
        await page.get_by_role("link", name="Pouch Coder").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Pouch Coder")
        await page.get_by_text("Roo Code").click()
        await expect(page.get_by_text("OpenAI Compatible")).to_be_visible()
        assert complaints == []


async def test_the_catalogue_works_without_script(pouch: RunningPouch, chromium: Browser) -> None:
    context = await chromium.new_context(base_url=pouch.url, java_script_enabled=False)
    page = await context.new_page()
    await page.goto("/provider")
    await page.get_by_label("Sort by").select_option("price-desc")
    await page.get_by_role("button", name="Apply").click()
    names = await page.locator(".model__name").all_inner_texts()
    assert names.index("Pouch Coder") < names.index("Pouch Free")
    await page.goto("/pricing")
    await page.get_by_text("What happens when I run out?").click()
    await expect(page.get_by_text("Your balance never goes below zero.")).to_be_visible()
    await context.close()


async def test_an_answer_streams_into_the_playground_with_its_cost(pouch: RunningPouch, chromium: Browser) -> None:
    email = "player@example.com"
    pouch.add_person(email, usd="5")
    async with browsing(chromium, pouch) as (page, complaints):
        await sign_in(page, email)
        await page.goto("/try")
        await assert_presentable(page)
        await page.get_by_label("Model", exact=True).select_option("pouch/paid")
        await page.get_by_label("What to ask").fill("alpha beta <b>gamma</b>")
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator("[data-part=answer]")).to_have_text("alpha beta <b>gamma</b>")
        await expect(page.locator("[data-part=cost]")).to_have_text("$0.000009")
        await expect(page.locator("[data-part=in]")).to_have_text("3")
        await expect(page.locator("#balance")).to_have_text("Available $4.99")
        await assert_presentable(page)
        await page.goto("/usage")
        await expect(page.get_by_role("row").filter(has_text="Playground").first).to_be_visible()
        assert complaints == []


async def test_an_answer_can_be_stopped(chromium: Browser) -> None:
    """What was produced is charged, and the page says so."""
    with RunningPouch(toml="[embedded]\ndelay_ms = 300\n") as slow:
        slow.add_person("alice@example.com", usd="5")
        async with browsing(chromium, slow) as (page, _complaints):
            await sign_in(page, "alice@example.com")
            await page.goto("/try?model=pouch/paid")
            await page.get_by_label("What to ask").fill("word " * 200)
            await page.keyboard.press("Control+Enter")
            await expect(page.locator("[data-part=cost]")).to_contain_text("~")
            await page.get_by_role("button", name="Stop").click()
            await expect(page.get_by_text("Stopped.")).to_be_visible()
            await expect(page.get_by_role("button", name="Send")).to_be_enabled()
            await expect(page.locator("#balance")).to_have_text("Available $4.99", timeout=PATIENCE_MS)


async def test_somebody_without_credits_is_told_what_helps(pouch: RunningPouch, chromium: Browser) -> None:
    pouch.add_person("poor@example.com")
    async with browsing(chromium, pouch) as (page, complaints):
        await sign_in(page, "poor@example.com")
        await page.goto("/try?model=pouch/paid")
        await page.get_by_label("What to ask").fill("hello")
        await page.get_by_role("button", name="Send").click()
        notice = page.locator("[data-state=no-credits]")
        await expect(notice).to_contain_text("Not enough credits")
        await expect(notice).to_contain_text("$0.00 is available")
        await assert_presentable(page)
        await notice.get_by_role("link", name="Buy Credits").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        # The browser itself notes every answer that is no success.
        assert [each for each in complaints if "402" not in each] == []


async def test_the_playground_works_without_script(pouch: RunningPouch, chromium: Browser) -> None:
    pouch.add_person("plain@example.com", usd="5")
    context = await chromium.new_context(base_url=pouch.url, java_script_enabled=False)
    page = await context.new_page()
    await sign_in(page, "plain@example.com")
    await page.goto("/try?model=pouch/paid")
    await page.get_by_label("What to ask").fill("alpha beta gamma")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("[data-part=answer]")).to_have_text("alpha beta gamma")
    await expect(page.locator("[data-part=cost]")).to_have_text("$0.000009")
    await expect(page.locator("#balance")).to_have_text("Available $4.99")
    await context.close()


def test_the_python_example_of_the_docs_runs(pouch: RunningPouch, tmp_path: Path) -> None:
    key = pouch.add_person("reader@example.com")
    text = httpx.get(f"{pouch.url}/docs/first-call", trust_env=False).text
    found = re.search(r'data-example="python"><code>(.*?)</code>', text, re.DOTALL)
    assert found
    program = tmp_path / "example.py"
    program.write_text(html.unescape(re.sub(r"</?b>", "", found[1])))
    done = subprocess.run(
        [sys.executable, program],
        env=os.environ | {"POUCH_KEY": key, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Hello\n")


def test_prices_changed_in_pouch_toml_appear_everywhere_together() -> None:
    """The pages and the model list of a running Pouch follow `pouch catalog apply`."""
    with RunningPouch(toml=TOML.replace("PRICE", "0.5")) as running:
        for price in ("0.5", "0.375"):
            file = running.folder / "pouch.toml"
            file.write_text(TOML.replace("PRICE", price))
            running.does("catalog", "apply", str(file))
            _until_listed(running, price)
            shown = f"${price.ljust(4, '0')}"
            for path in ("/provider?q=one", "/provider/up/one", "/pricing"):
                assert shown in httpx.get(f"{running.url}{path}", trust_env=False).text, path


def _until_listed(running: RunningPouch, price: str) -> None:
    def is_listed() -> bool:
        entry = httpx.get(f"{running.url}/v1/models/up/one", trust_env=False).json()
        return abs(float(entry["pricing"]["input"]) * 1e6 - float(price)) < 1e-9

    until(is_listed, what="the new price to be listed")
