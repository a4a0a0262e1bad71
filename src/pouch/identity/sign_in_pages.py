"""The pages before one is signed in: sign-in, sign-up, invitations, the first person's link; and signing out."""

from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.base.errors import NotFound, PouchError
from pouch.identity.entrance import Entrance
from pouch.identity.errors import AddressTaken, LinkEnded, SignUpRefused
from pouch.identity.first import is_first_link
from pouch.identity.forms import Forms, go
from pouch.identity.means import Means
from pouch.identity.registration import Registration
from pouch.identity.sessions import end_session
from pouch.identity.types import SessionId
from pouch.web.cookies import clear_cookie
from pouch.web.forms import read_form, safe_next
from pouch.web.pages import Web


class SignInPages:
    """/sign-in, /sign-up, /sign-out, /invitation/{token}, /first/{token} and /confirm-password."""

    def __init__(self, web: Web, means: Means, entrance: Entrance) -> None:
        self._web = web
        self._database = means.database
        self._forms = Forms(web)
        self._entrance = entrance
        self._registration = Registration(means)

    def routes(self) -> list[Route]:
        """The routes of these pages."""
        return [
            Route("/sign-in", self.show_sign_in, methods=["GET"]),
            Route("/sign-in", self.sign_in, methods=["POST"]),
            Route("/sign-up", self.show_sign_up, methods=["GET"]),
            Route("/sign-up", self.sign_up, methods=["POST"]),
            Route("/sign-out", self.sign_out, methods=["POST"]),
            Route("/invitation/{token}", self.show_invitation, methods=["GET"]),
            Route("/invitation/{token}", self.enter_invited, methods=["POST"]),
            Route("/first/{token}", self.show_first, methods=["GET"]),
            Route("/first/{token}", self.enter_first, methods=["POST"]),
            Route("/confirm-password", self.show_confirm, methods=["GET"]),
            Route("/confirm-password", self.confirm, methods=["POST"]),
        ]

    async def show_sign_in(self, request: Request) -> Response:
        """Show the form, or go on when somebody is signed in already."""
        goal = wanted(request.query_params)
        if await self._web.viewer(request):
            return go(goal)
        return await self._sign_in_form(request, {"next": goal}, is_confirmed="confirmed" in request.query_params)

    async def sign_in(self, request: Request) -> Response:
        """Sign in and go where the person wanted to go."""
        form = await read_form(request)
        try:
            secret = await self._entrance.sign_in(*_typed(form), await self._forms.visitor(request))
        except PouchError as error:
            return await self._sign_in_form(request, form, error)
        return self._forms.let_in(secret, form.get("next"))

    async def show_sign_up(self, request: Request) -> Response:
        """Show the form, or say why there is none."""
        goal = wanted(request.query_params)
        if await self._web.viewer(request):
            return go(goal)
        try:
            self._registration.check_sign_up()
        except SignUpRefused as refusal:
            return await self._forms.draw(request, "identity/sign_up_refused.html", {"next": goal}, refusal)
        return await self._forms.draw(request, "identity/sign_up.html", {"next": goal})

    async def sign_up(self, request: Request) -> Response:
        """Register, and say that a mail is on its way."""
        form = await read_form(request)
        try:
            secret = await self._registration.sign_up(*_typed(form), await self._forms.visitor(request))
        except SignUpRefused as refusal:
            return await self._forms.draw(request, "identity/sign_up_refused.html", form, refusal)
        except PouchError as error:
            return await self._forms.draw(request, "identity/sign_up.html", form, error)
        goal = safe_next(form.get("next"))
        return self._forms.let_in(secret, "/verify" if goal == "/" else f"/verify?{urlencode({'next': goal})}")

    async def sign_out(self, request: Request) -> Response:
        """End the session here and in the database."""
        if viewer := await self._web.viewer(request):
            async with self._database.transaction() as db:
                await end_session(db, SessionId(viewer.session_id))
        response = RedirectResponse("/", status_code=303)
        clear_cookie(response, self._web.settings)
        return response

    async def show_invitation(self, request: Request) -> Response:
        """Show the form of who was invited while their link works."""
        return await self._invitation(request)

    async def enter_invited(self, request: Request) -> Response:
        """Register who was invited."""
        form, token = await read_form(request), request.path_params["token"]
        visitor = await self._forms.visitor(request)
        try:
            secret = await self._registration.enter_invited(token, form.get("password", ""), visitor)
        except PouchError as error:
            return await self._invitation(request, error)
        return self._forms.let_in(secret, "/")

    async def show_first(self, request: Request) -> Response:
        """Show the first person's form while the link works."""
        async with self._database.transaction() as db:
            is_open = await is_first_link(db, request.path_params["token"])
        if not is_open:
            return await self._forms.draw(request, "identity/first_ended.html", {}, NotFound(""))
        return await self._forms.draw(request, "identity/first.html", {})

    async def enter_first(self, request: Request) -> Response:
        """Register the operator."""
        form, token = await read_form(request), request.path_params["token"]
        visitor = await self._forms.visitor(request)
        try:
            secret = await self._registration.enter_first(token, *_typed(form), visitor)
        except NotFound as ended:
            return await self._forms.draw(request, "identity/first_ended.html", form, ended)
        except PouchError as error:
            return await self._forms.draw(request, "identity/first.html", form, error)
        return self._forms.let_in(secret, form.get("next"))

    async def show_confirm(self, request: Request) -> Response:
        """Ask for the password again."""
        await self._web.signed_in(request)
        return await self._forms.draw(request, "identity/confirm_password.html", request.query_params)

    async def confirm(self, request: Request) -> Response:
        """Take the password again and return to what the person was doing."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        try:
            secret = await self._entrance.confirm(viewer, form.get("password", ""), await self._forms.visitor(request))
        except PouchError as error:
            return await self._forms.draw(request, "identity/confirm_password.html", form, error)
        return self._forms.let_in(secret, form.get("next"))

    async def _sign_in_form(
        self,
        request: Request,
        form: Mapping[str, str],
        error: PouchError | None = None,
        *,
        is_confirmed: bool = False,
    ) -> Response:
        return await self._forms.draw(request, "identity/sign_in.html", form, error, is_confirmed=is_confirmed)

    async def _invitation(self, request: Request, error: PouchError | None = None) -> Response:
        try:
            link = await self._registration.find_invitation(
                request.path_params["token"], await self._forms.visitor(request)
            )
        except LinkEnded as ended:
            return await self._forms.draw(request, "identity/link_ended.html", {}, ended, about="invitation")
        except SignUpRefused as refusal:
            return await self._forms.draw(request, "identity/sign_up_refused.html", {}, refusal)
        # Who has registered meanwhile is told so; they hold the invitation to this very address.
        return await self._forms.draw(
            request,
            "identity/invitation.html",
            {"email": link.address.shown},
            error,
            is_registered=isinstance(error, AddressTaken),
        )


def wanted(query: Mapping[str, str]) -> str:
    """Where somebody wants to go after signing in: `next`, or `redirect_url`, as links of Roo's clients call it.

    Such links may name an agent beside it, which goes along.
    """
    goal = safe_next(query.get("next") or query.get("redirect_url"))
    agent = query.get("agent", "")
    if "redirect_url" not in query or goal == "/" or not agent.replace("-", "").isalnum():
        return goal
    return safe_next(f"{goal}{'&' if '?' in goal else '?'}{urlencode({'agent': agent})}")


def _typed(form: dict[str, str]) -> tuple[str, str]:
    return form.get("email", ""), form.get("password", "")
