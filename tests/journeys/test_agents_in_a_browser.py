"""A person starts a run in Chromium, watches it, looks at its diff, and checks its bill by hand."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from journeys.browsing import browsing, sign_in
from support.looks import assert_presentable
from support.pouch import RunningPouch
from support.sandboxes import GREETING, needs_bubblewrap, repository

pytestmark = [needs_bubblewrap, pytest.mark.anyio, pytest.mark.browser, pytest.mark.timeout(400)]

ALICE = "alice@example.com"
SECONDS = re.compile(r"([\d,]+) s")


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("roots")


@pytest.fixture(scope="module")
def agents_pouch(roots: Path) -> Iterator[RunningPouch]:
    # The model takes its time, so that a run takes some whole seconds on any machine: those are what is billed.
    toml = f'[agents]\nlocal_roots = ["{roots}"]\n[agents.limits]\ndisk_mib = 128\n[embedded]\ndelay_ms = 40\n'
    with RunningPouch(toml=toml) as running:
        running.does("user", "add", ALICE, "--password-stdin", "--admin", input="correct horse battery")
        running.does("grant", ALICE, "5", "--key", "first", "--note", "To begin with")
        yield running


async def test_a_coders_run_is_shown_live_and_billed_to_the_second_and_the_token(
    agents_pouch: RunningPouch, roots: Path, chromium: Browser
) -> None:
    pouch, source = agents_pouch, repository(roots / "greeting", GREETING)
    before = pouch.balance(ALICE).available
    async with browsing(chromium, pouch) as (page, complaints):
        await sign_in(page, ALICE)
        await open_agents(page)
        await page.get_by_label("What should be done").fill("Make the tests pass.")
        await page.get_by_label("Repository").fill(str(source))
        await page.get_by_label("Model").select_option("pouch/coder")
        await page.get_by_label("Cost at most").fill("2.00")
        await page.get_by_role("button", name="Start run").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Make the tests pass.")
        # The page follows by itself, and loads itself once more when the run is over.
        await expect(page.get_by_role("button", name="Try again")).to_be_visible(timeout=120_000)
        await expect(page.locator(".run-head .badge")).to_have_text("Done")
        await expect(page.get_by_text("Saved the work: 1 file")).to_be_visible()
        await assert_presentable(page)

        await page.get_by_role("link", name="Diff").click()
        await expect(page.locator(".diff summary code")).to_have_text("hello.py")
        await assert_presentable(page)
        await page.get_by_role("link", name="Files").click()
        await expect(page.get_by_role("link", name="run-1.bundle")).to_be_visible()
        await page.get_by_role("link", name="Cost", exact=True).click()
        rows = {
            await row.locator("th").first.inner_text(): await row.locator("td").all_inner_texts()
            for row in await page.locator(".run-body table").first.locator("tbody tr").all()
        }
        found = SECONDS.search(rows["Running time"][0])
        assert found is not None
        seconds = int(found[1].replace(",", ""))
        assert seconds >= 1
        data = page.locator(".run-body table").first.locator("data")
        amounts = [Decimal(await each.get_attribute("value") or "") for each in await data.all()]
        time, models, total = amounts
        # Five dollars an hour, rounded up to a nano-dollar once.
        assert time == Decimal(-(-seconds * 5_000_000_000 // 3600)).scaleb(-9)
        assert total == time + models
        assert before - pouch.settled_balance(ALICE).available == total
        await assert_presentable(page)

        await page.goto("/billing")
        line = page.get_by_role("table", name="Changes of your balance").get_by_role("link", name="Agent run").first
        await line.click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Make the tests pass.")
        assert complaints == []


async def test_the_pages_of_agents_are_fit_for_everybody(agents_pouch: RunningPouch, chromium: Browser) -> None:
    async with browsing(chromium, agents_pouch) as (page, complaints):
        await sign_in(page, ALICE)
        for path in ("/agents", "/agents/set-up", "/agents/environments", "/agents/automations", "/docs/agents"):
            await page.goto(path)
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            await assert_presentable(page, path.strip("/").replace("/", "-"))
        assert complaints == []


async def open_agents(page: Page) -> None:
    """Go to the agents once a worker shows itself."""
    await page.goto("/agents")
    for _ in range(30):
        if not await page.get_by_text("Agents cannot run here at the moment").count():
            return
        await page.wait_for_timeout(1000)
        await page.reload()
    raise AssertionError("no worker showed itself")
