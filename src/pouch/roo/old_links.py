"""Links that Roo's clients and web site made, to where the thing is here."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

PLACES = {
    "/checkout/team": "/billing",
    "/cloud-agents/setup": "/agents",
    "/cloud-agents/welcome": "/agents",
    "/cloud-agents/create": "/agents",
}


class OldLinks:
    """Answers each with the way to its place."""

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [Route(old, _way(new), methods=["GET"]) for old, new in PLACES.items()]


def _way(place: str) -> Callable[[Request], Awaitable[Response]]:
    async def go(_request: Request) -> Response:
        return RedirectResponse(place, status_code=303)

    return go
