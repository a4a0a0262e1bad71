"""What the pages with forms share: who knocks, drawing a form again with what was wrong, letting somebody in."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pouch.base.errors import InvalidInput, PouchError
from pouch.identity.errors import AddressTaken, WrongPassword
from pouch.identity.means import Visitor
from pouch.identity.sessions import LIFETIME_S
from pouch.identity.types import SessionId
from pouch.web.cookies import set_cookie
from pouch.web.forms import safe_next
from pouch.web.pages import Web
from pouch.web.problems import problem_of


class Forms:
    """Draws forms and answers them."""

    def __init__(self, web: Web) -> None:
        self._web = web

    async def visitor(self, request: Request) -> Visitor:
        """Who sent this request."""
        viewer = await self._web.viewer(request)
        # The socket's peer; behind a proxy that uvicorn trusts, the address that the proxy names.
        address = request.client.host if request.client else ""
        session_id = SessionId(viewer.session_id) if viewer else None
        return Visitor(address, request.headers.get("user-agent", ""), session_id)

    async def draw(
        self,
        request: Request,
        template: str,
        form: Mapping[str, str] | None = None,
        error: PouchError | None = None,
        **more: object,
    ) -> Response:
        """Draw a form with what was typed, never a password, and the sentence where it belongs."""
        form = form or {}
        problem = problem_of(error) if error else None
        response = await self._web.page(
            request,
            template,
            problem.status if problem else 200,
            email=form.get("email", ""),
            next=safe_next(form.get("next")),
            field=_field_of(error),
            message=problem.text if problem else "",
            **more,
        )
        if problem:
            response.headers.update(problem.headers)
        return response

    def let_in(self, secret: str, goal: str | None) -> Response:
        """Give the browser its session and send it on."""
        response = RedirectResponse(safe_next(goal), status_code=303)
        set_cookie(response, self._web.settings, secret, max_age_s=LIFETIME_S)
        return response


def go(path: str) -> Response:
    """Send the browser on after a POST."""
    return RedirectResponse(path, status_code=303)


def _field_of(error: PouchError | None) -> str | None:
    match error:
        case InvalidInput(field=field):
            return field
        case AddressTaken():
            return "email"
        case WrongPassword():
            return "password"
        case _:
            return None
