"""All pages of identity, and who is looking at any page."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.base.database import Database
from pouch.identity.closing import Farewell, Obstacle
from pouch.identity.device_pages import DevicePages
from pouch.identity.entrance import Entrance
from pouch.identity.errors import VerificationNeeded
from pouch.identity.export import Exporter
from pouch.identity.key_pages import KeyPages, KeySpending
from pouch.identity.keyring import KeyRing
from pouch.identity.link_pages import LinkPages
from pouch.identity.means import Means
from pouch.identity.passwords import Passwords
from pouch.identity.sessions import find_session, is_recent
from pouch.identity.settings_pages import SettingsPages
from pouch.identity.sign_in_pages import SignInPages
from pouch.identity.throttles import Throttles
from pouch.identity.types import PersonId, SessionId, SignedIn
from pouch.web.cookies import cookie_name
from pouch.web.pages import Web
from pouch.web.problems import is_for_programs
from pouch.web.viewer import Viewer


class IdentityPages:
    """Sign-in, sign-up, the links of mails, the settings and the keys.

    `exporters` add to what a person can download, `obstacles` say why an account cannot be deleted now,
    `farewells` forget what other rooms keep about somebody who goes.
    """

    def __init__(  # noqa: PLR0913 -- what these pages need, by name
        self,
        web: Web,
        database: Database,
        *,
        keys: KeyRing,
        passwords: Passwords,
        throttles: Throttles,
        example_model: Callable[[], str],
        exporters: Mapping[str, Exporter] | None = None,
        obstacles: Sequence[Obstacle] = (),
        farewells: Sequence[Farewell] = (),
        key_spending: KeySpending | None = None,
        devices_ended: Callable[[PersonId], None] = lambda _: None,
    ) -> None:
        self._web = web
        self._database = database
        self._cookie = cookie_name(web.settings)
        means = Means.of(database, web.settings, passwords, throttles, programs_ended=devices_ended)
        entrance = Entrance(means)
        self._parts = (
            SignInPages(web, means, entrance),
            LinkPages(web, means, entrance),
            SettingsPages(
                web,
                means,
                entrance,
                exporters=exporters or {},
                obstacles=obstacles,
                farewells=farewells,
            ),
            DevicePages(web, means),
            KeyPages(web, database, keys, example_model, key_spending),
        )

    def routes(self) -> list[Route]:
        """The routes of all these pages."""
        return [route for part in self._parts for route in part.routes()]

    def exception_handlers(self) -> Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]:
        """For `Starlette(exception_handlers=…)`, beside those of `Web`: whoever must verify first is helped to it."""
        return {VerificationNeeded: self._explain_verification}

    async def find_viewer(self, request: Request) -> SignedIn | None:
        """Who is signed in, by the cookie. This is what `Web.find_viewer` is set to."""
        if not (secret := request.cookies.get(self._cookie)):
            return None
        async with self._database.transaction() as db:
            return await find_session(db, secret)

    async def ask_again(self, viewer: Viewer, goal: str) -> Response | None:
        """Ask for the password again and lead back to `goal`; None when it was given within the last 15 minutes."""
        async with self._database.transaction() as db:
            if await is_recent(db, SessionId(viewer.session_id)):
                return None
        return RedirectResponse(f"/confirm-password?{urlencode({'next': goal})}", status_code=303)

    async def _explain_verification(self, request: Request, error: Exception) -> Response:
        if is_for_programs(request.url.path):
            return await self._web.error(request, error)
        return await self._web.page(request, "identity/verification_needed.html", 403)
