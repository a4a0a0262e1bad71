"""Putting rooms' routes together into one application."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from pouch.web.pages import Web
from pouch.web.security import Security


def application(
    web: Web,
    routes: Sequence[BaseRoute],
    handlers: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] | None = None,
) -> Security:
    """The application of these routes and the files they load, inside the security headers, with our error pages.

    `handlers` answer failures for which a room has a page of its own.
    """
    app = Starlette(
        routes=[*web.routes(), *routes], exception_handlers={**web.exception_handlers(), **(handlers or {})}
    )
    # Else "/billing/" would answer with an address made from the Host header, which anybody can write.
    app.router.redirect_slashes = False
    return Security(app, web)
