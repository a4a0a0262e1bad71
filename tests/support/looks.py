"""What every page must stand, in every sight: axe finds nothing, and nothing sticks out to the side."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]  # it has no types
from playwright.async_api import Page

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
VIOLATIONS = """
async (options) => (await axe.run(options)).violations.map(({ id, nodes }) => ({ id, target: nodes[0].target }))
"""
OF_COLOURS = ("color-contrast", "link-in-text-block")
OF_SIZES = ("target-size", "scrollable-region-focusable", "meta-viewport")
OF_NAMES = ("button-name", "link-name", "label", "select-name", "input-button-name")
"""A phone's form of a page has buttons and menus that the wide one has not."""
DESK, PHONE = 1280, 390
Sight: TypeAlias = tuple[Literal["light", "dark"], int, Sequence[str]]
SIGHTS: tuple[Sight, ...] = (
    ("light", DESK, ()),
    ("dark", DESK, OF_COLOURS),
    ("light", PHONE, (*OF_SIZES, *OF_NAMES)),
)
"""All rules where all is light and wide; elsewhere those that may differ there."""


async def assert_presentable(page: Page, name: str = "") -> None:
    """Look at the page in all sights. POUCH_TEST_PICTURES names a folder for the pictures of pages with a name."""
    assert await faults_of(page, name) == [], name or page.url


async def assert_presentable_at_a_desk(page: Page, name: str = "") -> None:
    """The same in the wide sights alone, for what is also walked through on a phone."""
    assert await faults_of(page, name, [each for each in SIGHTS if each[1] > PHONE]) == [], name or page.url


async def assert_presentable_on_a_phone(page: Page, name: str = "") -> None:
    assert await faults_of(page, name, [each for each in SIGHTS if each[1] == PHONE]) == [], name or page.url


async def faults_of(page: Page, name: str = "", sights: Sequence[Sight] = SIGHTS) -> list[str]:
    """What is wrong with the page in any of these sights. The browser is left as it was, if it was light."""
    before = page.viewport_size
    faults = []
    for scheme, width, rules in sights:
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
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE_SCRIPT)
    only: Mapping[str, object] = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
    found = await page.evaluate(VIOLATIONS, {"preload": False, "iframes": False, "resultTypes": ["violations"], **only})
    faults = [f"{each['id']} at {each['target']}" for each in found]
    if await page.evaluate(OVERFLOW) != 0:
        faults.append("sticks out to the side")
    return faults
