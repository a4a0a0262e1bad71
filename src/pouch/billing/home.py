"""The first page of a person who has signed in. A stranger's is the landing page, in `site`."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from pouch.web.pages import Web


class HomePages:
    """The home page; its address is in `site`. `example_model` names a model for a first call, best a free one."""

    def __init__(self, web: Web, *, example_model: Callable[[], str]) -> None:
        self._web = web
        self._example_model = example_model

    async def home(self, request: Request) -> Response:
        """The first steps, and what is available."""
        await self._web.signed_in(request)
        return await self._web.page(request, "billing/home.html", model=self._example_model())
