"""The pages that letters lead to. Looking at one does nothing; pressing its button does it, once."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.base.errors import PouchError
from pouch.identity.entrance import Entrance
from pouch.identity.errors import LinkEnded
from pouch.identity.forms import Forms, go
from pouch.identity.means import Means
from pouch.identity.moving import Moving
from pouch.identity.recovery import Recovery
from pouch.identity.verification import Verification
from pouch.web.cookies import clear_cookie
from pouch.web.forms import read_form
from pouch.web.pages import Web


class LinkPages:
    """/verify, /reset, and below them and /change-address and /undo-change the pages of their links."""

    def __init__(self, web: Web, means: Means, entrance: Entrance) -> None:
        self._web = web
        self._forms = Forms(web)
        self._verification = Verification(means)
        self._recovery = Recovery(means, entrance)
        self._moving = Moving(means)

    def routes(self) -> list[Route]:
        """The routes of these pages."""
        return [
            Route("/verify", self.check_mail, methods=["GET"]),
            Route("/verify", self.send_again, methods=["POST"]),
            Route("/verify/{token}", self.show_verify, methods=["GET"]),
            Route("/verify/{token}", self.verify, methods=["POST"]),
            Route("/reset", self.show_ask_reset, methods=["GET"]),
            Route("/reset", self.ask_reset, methods=["POST"]),
            Route("/reset/sent", self.reset_sent, methods=["GET"]),
            Route("/reset/{token}", self.show_reset, methods=["GET"]),
            Route("/reset/{token}", self.reset, methods=["POST"]),
            Route("/change-address/{token}", self.show_change, methods=["GET"]),
            Route("/change-address/{token}", self.change, methods=["POST"]),
            Route("/undo-change/{token}", self.show_undo, methods=["GET"]),
            Route("/undo-change/{token}", self.undo, methods=["POST"]),
        ]

    async def check_mail(self, request: Request) -> Response:
        """Say that a mail is on its way, or that the address is confirmed."""
        await self._web.signed_in(request)
        again = "again" in request.query_params
        return await self._forms.draw(request, "identity/check_mail.html", request.query_params, again=again)

    async def send_again(self, request: Request) -> Response:
        """Send the mail again."""
        viewer = await self._web.signed_in(request)
        try:
            await self._verification.send_again(viewer, await self._forms.visitor(request))
        except PouchError as error:
            return await self._forms.draw(request, "identity/check_mail.html", {}, error, again=False)
        return go("/verify?again")

    async def show_verify(self, request: Request) -> Response:
        """Ask whether this is the person's address."""
        try:
            link = await self._verification.find(request.path_params["token"], await self._forms.visitor(request))
        except PouchError as ended:
            return await self._ended(request, ended, "verify")
        return await self._forms.draw(request, "identity/verify.html", address=link.address.shown)

    async def verify(self, request: Request) -> Response:
        """Confirm the address."""
        try:
            person = await self._verification.verify(request.path_params["token"], await self._forms.visitor(request))
        except PouchError as ended:
            return await self._ended(request, ended, "verify")
        viewer = await self._web.viewer(request)
        # Nobody is signed in by this: who pressed the button need not be who chose the password.
        return go("/verify" if viewer and viewer.person_id == person.id else "/sign-in?confirmed")

    async def show_ask_reset(self, request: Request) -> Response:
        """Show the form that asks for the mail."""
        return await self._forms.draw(request, "identity/reset.html", request.query_params)

    async def ask_reset(self, request: Request) -> Response:
        """Send the mail, if somebody has the address; the answer is the same."""
        form = await read_form(request)
        try:
            await self._recovery.ask(form.get("email", ""), await self._forms.visitor(request))
        except PouchError as error:
            return await self._forms.draw(request, "identity/reset.html", form, error)
        return go("/reset/sent")

    async def reset_sent(self, request: Request) -> Response:
        """Say what happens now."""
        return await self._forms.draw(request, "identity/reset_sent.html")

    async def show_reset(self, request: Request) -> Response:
        """Show the form that chooses a password."""
        return await self._reset_form(request)

    async def reset(self, request: Request) -> Response:
        """Choose the password, and be signed in."""
        form = await read_form(request)
        visitor = await self._forms.visitor(request)
        try:
            secret = await self._recovery.reset(request.path_params["token"], form.get("password", ""), visitor)
        except PouchError as error:
            return await self._reset_form(request, error)
        return self._forms.let_in(secret, "/settings?done=reset")

    async def show_change(self, request: Request) -> Response:
        """Ask whether the account should use this address."""
        visitor = await self._forms.visitor(request)
        try:
            link, person = await self._moving.find("change", request.path_params["token"], visitor)
        except PouchError as ended:
            return await self._ended(request, ended, "change")
        return await self._forms.draw(request, "identity/change_address.html", old=person.email, new=link.address.shown)

    async def change(self, request: Request) -> Response:
        """Use the new address."""
        try:
            person = await self._moving.confirm(request.path_params["token"], await self._forms.visitor(request))
        except PouchError as ended:
            return await self._ended(request, ended, "change")
        viewer = await self._web.viewer(request)
        return go("/settings?done=moved" if viewer and viewer.person_id == person.id else "/sign-in?confirmed")

    async def show_undo(self, request: Request) -> Response:
        """Ask whether the change should be taken back."""
        visitor = await self._forms.visitor(request)
        try:
            link, person = await self._moving.find("undo", request.path_params["token"], visitor)
        except PouchError as ended:
            return await self._ended(request, ended, "undo")
        return await self._forms.draw(request, "identity/undo_change.html", old=link.address.shown, new=person.email)

    async def undo(self, request: Request) -> Response:
        """Take the change back, and choose a new password."""
        try:
            path = await self._moving.undo(request.path_params["token"], await self._forms.visitor(request))
        except PouchError as ended:
            return await self._ended(request, ended, "undo")
        response = RedirectResponse(path, status_code=303)
        clear_cookie(response, self._web.settings)
        return response

    async def _reset_form(self, request: Request, error: PouchError | None = None) -> Response:
        try:
            link = await self._recovery.find(request.path_params["token"], await self._forms.visitor(request))
        except PouchError as ended:
            return await self._ended(request, ended, "reset")
        return await self._forms.draw(request, "identity/reset_choose.html", {"email": link.address.shown}, error)

    async def _ended(self, request: Request, error: PouchError, about: str) -> Response:
        if not isinstance(error, LinkEnded):
            raise error
        return await self._forms.draw(request, "identity/link_ended.html", {}, error, about=about)
