"""Every route of the application, asked of the application itself."""

from collections.abc import Iterable, Iterator

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from pouch.app.far_ends import MODELS_PATH
from pouch.app.root import Root
from pouch.embedded.guard import LoopbackOnly
from pouch.gateway.provider import CHAT_PATHS
from pouch.web.security import Security

BESIDE_THE_ROUTES = {
    *(("POST", path) for path in CHAT_PATHS),
    ("POST", f"{MODELS_PATH}/v1/chat/completions"),
    ("GET", f"{MODELS_PATH}/v1/models"),
}
"""What `Root` answers before it comes to the pages. It has no routes that could be asked."""


def routes_of(root: Root) -> set[tuple[str, str]]:
    """Method and path of everything that is answered. HEAD comes with GET."""
    return BESIDE_THE_ROUTES | set(_walk(_inside(root._pages).routes, ""))  # noqa: SLF001 -- nothing else knows all


def _walk(routes: Iterable[BaseRoute], above: str) -> Iterator[tuple[str, str]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _walk(_inside(route.app).routes, above + route.path)
        elif isinstance(route, Route):
            for method in _methods(route) - {"HEAD"}:
                yield method, above + route.path
        else:
            raise TypeError(f"docs/access.md cannot say who may use a {type(route).__name__}")


def _methods(route: Route) -> set[str]:
    if route.methods is not None:
        return set(route.methods)
    # A guarded route lets every method pass; the same route behind the guard says which are answered.
    behind = [each for each in _inside(route.app).routes if isinstance(each, Route) and each.path == route.path]
    return {method for each in behind for method in each.methods or ()}


def _inside(app: ASGIApp) -> Starlette:
    while isinstance(app, Security | LoopbackOnly):
        app = app._app  # noqa: SLF001 -- the wrappers hide what they wrap
    assert isinstance(app, Starlette), app
    return app
