"""Going to a page while the one that is shown may load itself again, as it does when a payment comes."""

from typing import Any

from playwright.async_api import Error, Page, Response


def goes_again(page: Page) -> Page:
    """The page, whose `goto` goes once more where the page loaded itself again at that very moment.

    Chromium then ends the visit that was asked for. A person would click once more, too; where an address cannot be
    shown at all, the second visit fails as the first did.
    """
    first = page.goto

    async def goto(url: str, **options: Any) -> Response | None:
        try:
            return await first(url, **options)
        except Error as error:
            if "ERR_ABORTED" not in error.message:
                raise
            return await first(url, **options)

    page.goto = goto  # type: ignore[method-assign]  # the same words, less exactly
    return page
