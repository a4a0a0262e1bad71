"""Drawing pages: the frame that every room's pages stand in, and the pages of failure."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import psycopg
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute

from pouch.base.errors import PouchError, Unavailable
from pouch.base.ids import new_id, show_id
from pouch.base.languages import say
from pouch.base.money import ZERO
from pouch.settings import Settings
from pouch.web.assets import Assets
from pouch.web.links import sign_in_url
from pouch.web.problems import Problem, is_for_programs, json_of, problem_of
from pouch.web.templating import environment
from pouch.web.viewer import Header, SignInNeeded, Viewer, initials

RETRY_AFTER_S = 3
"""When to come back after the database did not answer."""

log = structlog.get_logger()


async def _nobody(_request: Request) -> Viewer | None:
    return None


async def _no_badges(_viewer: Viewer) -> Mapping[str, str]:
    return {}


async def _no_need(_viewer: Viewer, _goal: str) -> Response | None:
    return None


async def _nothing(_viewer: Viewer) -> Header:
    return Header(available=ZERO, held=ZERO, balance=ZERO, pending=ZERO)


class Web:
    """Draws pages. It knows no room above it: who looks and what they own comes from functions that `app.py` sets."""

    def __init__(self, *, settings: Settings, templates: Sequence[tuple[str, str]] = ()) -> None:
        self.settings = settings
        self.find_viewer: Callable[[Request], Awaitable[Viewer | None]] = _nobody
        self.find_header: Callable[[Viewer], Awaitable[Header]] = _nothing
        self.find_badges: Callable[[Viewer], Awaitable[Mapping[str, str]]] = _no_badges
        """What stands beside places of the top bar, by their address: "/agents" and what runs spend."""
        self.ask_again: Callable[[Viewer, str], Awaitable[Response | None]] = _no_need
        """The way to where the password is asked for again and back to an address; None when it was given lately.

        Whatever moves money, or cannot be undone, asks this first."""
        self.alarms: list[Callable[[], str | None]] = []
        """What is wrong right now: each gives a sentence for above every page, or None."""
        self.banner: str | None = None
        """A sentence above every page, such as the warning that play money is accepted."""
        self.dialogs: dict[str, str] = {}
        """Dialogs on every page of a signed-in person: the id of each and its template. Rooms add theirs."""
        self.body_bytes_max: dict[str, int] = {}
        """Addresses that read more, or less, than others: the path and how many bytes. Rooms add theirs."""
        self._assets = Assets()
        self.templates = environment(settings, self._assets, templates)

    async def page(self, request: Request, template: str, status: int = 200, **context: object) -> HTMLResponse:
        """Draw a page for whoever looks, with the balance in its top bar."""
        viewer = await self.viewer(request)
        header = await self.find_header(viewer) if viewer else None
        badges = await self.find_badges(viewer) if viewer else {}
        return self._draw(template, status, self._frame(request, viewer, header) | {"badges": badges} | context)

    async def viewer(self, request: Request) -> Viewer | None:
        """Who is signed in. Asked once per request."""
        if not hasattr(request.state, "viewer"):
            request.state.viewer = await self.find_viewer(request)
        viewer: Viewer | None = request.state.viewer
        return viewer

    async def signed_in(self, request: Request) -> Viewer:
        """Who is signed in. Raises SignInNeeded when nobody is."""
        if (viewer := await self.viewer(request)) is None:
            raise SignInNeeded
        return viewer

    async def error(self, request: Request, error: Exception) -> Response:
        """Answer a failure: JSON where programs ask, the way to the sign-in page, or a page that helps."""
        error_id = None
        if isinstance(error, psycopg.OperationalError):
            log.warning("database_away", endpoint=_endpoint(request), reason=type(error).__name__)
            error = Unavailable(
                say("The database is too busy, or away. Nothing of yours is lost; try again in a few seconds."),
                retry_after_s=RETRY_AFTER_S,
            )
        if not isinstance(error, PouchError | HTTPException):
            error_id = show_id("err", new_id())
            # The endpoint and not the path, since a path may hold a one-time secret.
            log.error(
                "request_failed", error_id=error_id, method=request.method, endpoint=_endpoint(request), exc_info=error
            )
        problem = problem_of(error, error_id=error_id)
        if is_for_programs(request.url.path):
            return json_of(problem, request.url.path)
        if isinstance(error, SignInNeeded):
            return RedirectResponse(sign_in_url(request), status_code=303)
        response = await self._problem_page(request, problem)
        response.headers.update(problem.headers)
        return response

    def exception_handlers(self) -> Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]:
        """For `Starlette(exception_handlers=…)`: every failure of every room ends in `error`."""
        foreseen = (PouchError, HTTPException, psycopg.OperationalError)
        return {**dict.fromkeys(foreseen, self.error), Exception: self.error}

    def routes(self) -> list[BaseRoute]:
        """The files that pages load."""
        return [*self._assets.routes()]

    async def _problem_page(self, request: Request, problem: Problem) -> HTMLResponse:
        if problem.status < 500:
            return await self.page(request, "web/error.html", problem.status, problem=problem)
        # Something of ours is broken, perhaps the very thing that knows the viewer: draw without asking it.
        return self._draw(
            "web/error.html", problem.status, self._frame(request, None, None) | {"badges": {}, "problem": problem}
        )

    def _frame(self, request: Request, viewer: Viewer | None, header: Header | None) -> dict[str, object]:
        return {
            "viewer": viewer,
            "header": header,
            "initials": initials(viewer.email) if viewer else "",
            "path": request.url.path,
            "method": request.method,
            "banners": [each for each in (self.banner, *(alarm() for alarm in self.alarms)) if each],
            "dialogs": self.dialogs if viewer else {},
        }

    def _draw(self, template: str, status: int, context: dict[str, object]) -> HTMLResponse:
        text = self.templates.get_template(template).render(context)
        # "no-cache" and not "no-store": going back from the checkout shows the same form with the same attempt again.
        return HTMLResponse(text, status, {"cache-control": "private, no-cache", "vary": "accept-language"})


def _endpoint(request: Request) -> str:
    endpoint = request.scope.get("endpoint")
    return getattr(endpoint, "__qualname__", type(endpoint).__name__)
