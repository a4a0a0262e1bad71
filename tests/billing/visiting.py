"""Alice's real browser on a served site with the money pages."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from playwright.async_api import Browser, ConsoleMessage, Page

from billing.site import OpenSite, Site
from journeys.browsing import REPORT_VIOLATIONS
from support.cards import serving
from support.going import goes_again


@asynccontextmanager
async def visited(
    chromium: Browser,
    open_site: OpenSite,
    *,
    script: bool = True,
    scheme: Literal["light", "dark"] = "light",
    width: int = 1280,
    sells: bool = True,
    payments: str = "",
) -> AsyncIterator[tuple[Site, Page, list[str]]]:
    """The site, a tab, and what the browser's console complained of. Further tabs come from `page.context`."""
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # The checkout is another house; its pages are looked at by the tests of its own room.
        if message.type == "error" and message.location["url"].startswith(site.settings.url):
            complaints.append(message.text)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with (
            open_site(port=listener.getsockname()[1], sells=sells, payments=payments) as site,
            serving(site.app, listener),
            await chromium.new_context(
                base_url=site.settings.url,
                color_scheme=scheme,
                java_script_enabled=script,
                viewport={"width": width, "height": 844},
            ) as context,
        ):
            await context.add_cookies([{"name": "pouch", "value": "alice", "url": site.settings.url}])
            await context.add_init_script(REPORT_VIOLATIONS)
            context.on("console", note)
            context.on("weberror", lambda error: complaints.append(str(error.error)))
            yield site, goes_again(await context.new_page()), complaints
