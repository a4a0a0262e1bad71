"""What every page must stand, in every sight: axe finds nothing, and nothing sticks out to the side."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]  # it has no types
from playwright.async_api import Page

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
OF_COLOURS = ("color-contrast", "link-in-text-block")
OF_SIZES = ("target-size", "scrollable-region-focusable", "meta-viewport")
OF_NAMES = ("button-name", "link-name", "label", "select-name", "input-button-name")
"""A phone's form of a page has buttons and menus that the wide one has not."""
SIGHTS: tuple[tuple[Literal["light", "dark"], int, Sequence[str]], ...] = (
    ("light", 1280, ()),
    ("dark", 1280, OF_COLOURS),
    ("light", 390, (*OF_SIZES, *OF_NAMES)),
)
"""All rules where all is light and wide; elsewhere those that may differ there."""


async def assert_presentable(page: Page, name: str = "") -> None:
    """Look at the page in all sights. POUCH_TEST_PICTURES names a folder for the pictures of pages with a name."""
    assert await faults_of(page, name) == [], name or page.url


async def faults_of(page: Page, name: str = "") -> list[str]:
    """What is wrong with the page in any sight. The browser is left as it was, if it was light."""
    before = page.viewport_size
    faults = []
    for scheme, width, rules in SIGHTS:
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size({"width": width, "height": 844})
        faults += [f"{scheme}, {width} wide: {each}" for each in await faults_in_sight(page, rules)]
        if name and (folder := os.environ.get("POUCH_TEST_PICTURES")):
            await page.screenshot(path=Path(folder) / f"{name}-{scheme}-{width}.png", full_page=True)
    await page.emulate_media(color_scheme="light")
    if before is not None:
        await page.set_viewport_size(before)
    return faults


async def faults_in_sight(page: Page, rules: Sequence[str] = ()) -> list[str]:
    """What is wrong with the page as it is shown now, by these rules of axe or by all of them."""
    options: Mapping[str, object] = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
    found = await Axe().run(page, options={"preload": False, "resultTypes": ["violations"], **options})
    faults = [f"{each['id']} at {each['nodes'][0]['target']}" for each in found.response["violations"]]
    if await page.evaluate(OVERFLOW) != 0:
        faults.append("sticks out to the side")
    return faults
