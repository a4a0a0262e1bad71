"""One Chromium for all browser tests of a process: it takes a second of CPU to start, a person in it next to none."""

import atexit
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from support.postgres import quick_folder

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is Chromium without the window around its pages: a person's context costs it a fourth of the CPU."""
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--no-startup-window",
    "--no-first-run",
    "--no-default-browser-check",
    "--remote-debugging-port=0",
    # Nothing goes out, and nothing is kept.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-quic",
    "--disable-breakpad",
    "--disable-search-engine-choice-screen",
    "--metrics-recording-only",
    "--password-store=basic",
    "--use-mock-keychain",
    # As Playwright starts it: the same pages in the same colours on every machine, in windows that nobody looks at.
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-back-forward-cache",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-hang-monitor",
    "--disable-ipc-flooding-protection",
    "--disable-popup-blocking",
    "--disable-prompt-on-repost",
    "--allow-pre-commit-input",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--mute-audio",
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",
    "--disable-features=AvoidUnnecessaryBeforeUnloadCheckSync,HttpsUpgrades,MediaRouter,OptimizationHints,PaintHolding",
)
LISTENS = re.compile(r"DevTools listening on (ws://\S+)")


def chromium_path() -> str:
    """Chromium's program: $CHROMIUM, or one on the PATH. Without one the test is skipped, or fails if it must run."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    if os.environ.get("POUCH_TEST_REQUIRE_BROWSER") == "1":
        pytest.fail("Chromium is not installed, and POUCH_TEST_REQUIRE_BROWSER asks for it")
    pytest.skip("Chromium is not installed")


@asynccontextmanager
async def open_chromium() -> AsyncIterator[Browser]:
    """Chromium, for the length of the block. What drives it takes half a second of CPU to start; see `alone_in`."""
    address = _running(chromium_path())
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(address)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def alone_in(browser: Browser) -> AsyncIterator[Browser]:
    """The browser for one test: the contexts made in it are closed at the end, so that nobody meets another's."""
    try:
        yield browser
    finally:
        for context in browser.contexts[1:]:  # the first is Chromium's own
            await context.close()


@cache
def _running(program: str) -> str:
    """Start it: where it is driven from. It ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="pouch-chromium-", dir=quick_folder()))
    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={folder}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )

    def end() -> None:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    assert process.stderr is not None
    for line in process.stderr:
        if hit := LISTENS.search(line):
            # What it goes on to say nobody reads, and it must not wait for that.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return hit[1]
    raise AssertionError(f"Chromium ended with {process.wait()} before it listened")
