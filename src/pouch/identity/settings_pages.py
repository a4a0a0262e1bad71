"""/settings: a person's address, password, sessions, data, and the end of their account."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.base.errors import InvalidInput, NotFound, PouchError
from pouch.base.ids import read_id, show_id
from pouch.base.languages import later, say
from pouch.identity.browsers import browser_words
from pouch.identity.closing import Farewell, Obstacle, close_account, find_obstacle
from pouch.identity.devices import list_devices
from pouch.identity.entrance import Entrance
from pouch.identity.errors import WrongPassword
from pouch.identity.export import Exporter, export_account
from pouch.identity.forms import Forms, go
from pouch.identity.keys import PERIOD_WORDS
from pouch.identity.links import pending_change
from pouch.identity.means import Means
from pouch.identity.moving import Moving
from pouch.identity.people import get_person
from pouch.identity.recovery import Recovery
from pouch.identity.sessions import end_session_of, end_sessions, is_recent, list_sessions
from pouch.identity.types import PersonId, SessionId
from pouch.ledger.accounts import balance
from pouch.web.cookies import clear_cookie
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.viewer import Viewer

DONE = {
    "password": later("Your password is changed, and you are signed out everywhere else."),
    "reset": later("Your password is changed, and you are signed out everywhere else."),
    "email": later("A mail is on its way to the new address. Press the link in it to use the address."),
    "moved": later("You use the new address now."),
    "session": later("Signed out there."),
    "sessions": later("You are signed out everywhere else."),
    "device": later("That program is signed out."),
    "limit": later("The program's limit is saved. It holds from its next call on."),
}
"""What was just done, by the word in the address of the page."""


class SettingsPages:
    """The pages below /settings.

    `exporters`, `obstacles` and `farewells` come from the rooms above this one; `ended` hears of a person whose
    programs were signed out.
    """

    def __init__(  # noqa: PLR0913 -- what these pages need, by name
        self,
        web: Web,
        means: Means,
        entrance: Entrance,
        *,
        exporters: Mapping[str, Exporter],
        obstacles: Sequence[Obstacle],
        farewells: Sequence[Farewell],
    ) -> None:
        self._web = web
        self._database = means.database
        self._forms = Forms(web)
        self._recovery = Recovery(means, entrance)
        self._moving = Moving(means)
        self._exporters = exporters
        self._obstacles = obstacles
        self._farewells = farewells
        self._ended = means.programs_ended

    def routes(self) -> list[Route]:
        """The routes of these pages."""
        return [
            Route("/settings", self.show, methods=["GET"]),
            Route("/settings/email", self.show_email, methods=["GET"]),
            Route("/settings/email", self.change_email, methods=["POST"]),
            Route("/settings/password", self.show_password, methods=["GET"]),
            Route("/settings/password", self.change_password, methods=["POST"]),
            Route("/settings/sessions/end-others", self.end_others, methods=["POST"]),
            Route("/settings/sessions/{session}/end", self.end_session, methods=["POST"]),
            Route("/settings/export", self.export, methods=["GET"]),
            Route("/settings/delete", self.show_delete, methods=["GET"]),
            Route("/settings/delete", self.delete, methods=["POST"]),
            Route("/deleted", self.deleted, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """Everything at a glance."""
        viewer = await self._web.signed_in(request)
        person_id = PersonId(viewer.person_id)
        async with self._database.transaction() as db:
            sessions = await list_sessions(db, person_id)
            devices = await list_devices(db, person_id)
            pending = await pending_change(db, person_id)
        return await self._web.page(
            request,
            "identity/settings.html",
            sessions=sessions,
            devices=devices,
            period_words=PERIOD_WORDS,
            browser_words=browser_words,
            show_id=show_id,
            pending=pending,
            done=DONE.get(request.query_params.get("done", "")),
        )

    async def show_email(self, request: Request) -> Response:
        """The form for another address."""
        viewer = await self._web.signed_in(request)
        if ask := await self._ask_password(viewer, "/settings/email"):
            return ask
        return await self._forms.draw(request, "identity/settings_email.html")

    async def change_email(self, request: Request) -> Response:
        """Send a mail to the new address."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        if ask := await self._ask_password(viewer, "/settings/email"):
            return ask
        try:
            await self._moving.ask(viewer, form.get("email", ""), await self._forms.visitor(request))
        except PouchError as error:
            return await self._forms.draw(request, "identity/settings_email.html", form, error)
        return go("/settings?done=email")

    async def show_password(self, request: Request) -> Response:
        """The form for another password."""
        await self._web.signed_in(request)
        return await self._forms.draw(request, "identity/settings_password.html")

    async def change_password(self, request: Request) -> Response:
        """Change the password."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        current, password = form.get("current", ""), form.get("password", "")
        try:
            secret = await self._recovery.change(viewer, current, password, await self._forms.visitor(request))
        except WrongPassword:
            wrong = InvalidInput(say("This is not your password."), field="current")
            return await self._forms.draw(request, "identity/settings_password.html", form, wrong)
        except PouchError as error:
            return await self._forms.draw(request, "identity/settings_password.html", form, error)
        return self._forms.let_in(secret, "/settings?done=password")

    async def end_session(self, request: Request) -> Response:
        """Sign out somewhere else."""
        viewer = await self._web.signed_in(request)
        session_id = read_id("ses", request.path_params["session"])
        if session_id is None:
            raise NotFound(say("There is no such session."))
        async with self._database.transaction() as db:
            await end_session_of(db, PersonId(viewer.person_id), SessionId(session_id))
        return go("/settings?done=session")

    async def end_others(self, request: Request) -> Response:
        """Sign out everywhere else."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            await end_sessions(db, PersonId(viewer.person_id), but_for=SessionId(viewer.session_id))
        return go("/settings?done=sessions")

    async def export(self, request: Request) -> Response:
        """Everything that is kept about the person, as a file."""
        viewer = await self._web.signed_in(request)
        if ask := await self._ask_password(viewer, "/settings/export"):
            return ask
        async with self._database.transaction() as db:
            everything = await export_account(db, PersonId(viewer.person_id), self._exporters)
        name = f"{self._web.settings.file.site.name.lower()}-data.json".encode("ascii", "ignore").decode()
        headers = {
            "content-disposition": f'attachment; filename="{name.replace(chr(34), "")}"',
            "cache-control": "no-store",
        }
        return Response(orjson.dumps(everything, option=orjson.OPT_INDENT_2), 200, headers, "application/json")

    async def show_delete(self, request: Request) -> Response:
        """Say what deleting means, and ask."""
        viewer = await self._web.signed_in(request)
        if ask := await self._ask_password(viewer, "/settings/delete"):
            return ask
        return await self._delete_form(request, viewer)

    async def delete(self, request: Request) -> Response:
        """Delete the account."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        if ask := await self._ask_password(viewer, "/settings/delete"):
            return ask
        try:
            if form.get("email", "").strip().casefold() != viewer.email.casefold():
                raise InvalidInput(say("Type %(email)s to delete the account.", email=viewer.email), field="email")
            async with self._database.transaction() as db:
                await close_account(db, PersonId(viewer.person_id), self._obstacles, self._farewells)
        except PouchError as error:
            return await self._delete_form(request, viewer, form, error)
        self._ended(PersonId(viewer.person_id))
        response = RedirectResponse("/deleted", status_code=303)
        clear_cookie(response, self._web.settings)
        return response

    async def deleted(self, request: Request) -> Response:
        """Say that it is done."""
        return await self._web.page(request, "identity/deleted.html")

    async def _delete_form(
        self,
        request: Request,
        viewer: Viewer,
        form: Mapping[str, str] | None = None,
        error: PouchError | None = None,
    ) -> Response:
        async with self._database.transaction() as db:
            person = await get_person(db, PersonId(viewer.person_id))
            assert person is not None
            rest = (await balance(db, person.organization_id)).available
            obstacle = await find_obstacle(db, person, self._obstacles)
        return await self._forms.draw(
            request, "identity/settings_delete.html", form, error, rest=rest, obstacle=obstacle
        )

    async def _ask_password(self, viewer: Viewer, goal: str) -> Response | None:
        """The way to the page that asks for the password again and leads back; None when it was given lately."""
        async with self._database.transaction() as db:
            if await is_recent(db, SessionId(viewer.session_id)):
                return None
        return go(f"/confirm-password?{urlencode({'next': goal})}")
