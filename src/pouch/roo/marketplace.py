"""The marketplace of modes and MCP servers, as YAML: there is nothing in it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

EMPTY = "items: []\n"
"""YAML that is no JSON: the editor's HTTP client would turn JSON into an object, and its YAML reader wants text."""


class Marketplace:
    """GET /api/marketplace/modes and /mcps. Nobody need be signed in."""

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [
            Route("/api/marketplace/modes", self.show, methods=["GET"]),
            Route("/api/marketplace/mcps", self.show, methods=["GET"]),
        ]

    async def show(self, _request: Request) -> Response:
        """An empty list."""
        return Response(EMPTY, media_type="application/yaml", headers={"cache-control": "public, max-age=300"})
