"""Signing Roo's command line in: it listens on this machine and gets one token, which lasts 90 days."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from pouch.base.errors import InvalidInput
from pouch.base.ids import derived_id, read_id, show_id
from pouch.base.languages import say
from pouch.identity.devices import LIFETIME_DAYS, add_device
from pouch.identity.profiles import memberships_of
from pouch.identity.types import DeviceId, PersonId
from pouch.identity.verification import need_verified
from pouch.roo.callbacks import read_loopback_callback
from pouch.roo.clerk import Desk
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.security import content_policy

NAME = "Roo command line"
REFUSED = "Sign-in was refused in the browser."
DAY_S = 24 * 3600
RESULTS = {
    "error-in-callback": "You said no, or something went wrong here. The terminal did not get a token.",
    "missing-token": "The terminal did not get a token.",
    "invalid-state-parameter": "The answer did not belong to the sign-in that the terminal waits for.",
}
"""What the command line says went wrong, in our words: nobody else's text is shown here."""


class CliPages:
    """/cli/sign-in: the question, and how it ended."""

    def __init__(self, web: Web, desk: Desk) -> None:
        self._web = web
        self._desk = desk
        self._database = desk.database

    def routes(self) -> list[BaseRoute]:
        """The routes of these pages."""
        return [
            Route("/cli/sign-in", self.show, methods=["GET"]),
            Route("/cli/sign-in", self.decide, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Ask whether the command line may come in, or tell how it ended."""
        query = request.query_params
        if query.get("success") == "true":
            return await self._web.page(request, "roo/cli_result.html", error=None)
        if "error" in query:
            words = RESULTS.get(query["error"], "The terminal reported a failure.")
            return await self._web.page(request, "roo/cli_result.html", error=words)
        if not {"state", "callback"} & query.keys():
            return RedirectResponse("/connect", status_code=303)
        callback = read_loopback_callback(query.get("callback", ""), query.get("state", ""))
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            memberships = await memberships_of(db, PersonId(viewer.person_id))
        response = await self._web.page(
            request, "roo/cli_sign_in.html", callback=callback, memberships=memberships, show_id=show_id
        )
        # Chromium applies form-action to the redirect after the POST, which leads to the command line.
        response.headers["content-security-policy"] = content_policy(self._web.settings, callback.origin)
        return response

    async def decide(self, request: Request) -> Response:
        """Hand a token over, or say that there is none."""
        viewer = await self._web.signed_in(request)
        form = await read_form(request)
        callback = read_loopback_callback(form.get("callback", ""), form.get("state", ""))
        if form.get("decision") == "refuse":
            return _away(callback.with_error(REFUSED))
        need_verified(viewer)
        organization_id = read_id("org", form.get("organization", ""))
        person_id = PersonId(viewer.person_id)
        async with self._database.transaction() as db:
            memberships = await memberships_of(db, person_id)
            chosen = next((each for each in memberships if each.organization_id == organization_id), None)
            if chosen is None:
                raise InvalidInput(say("Choose an account."), field="organization")
            device_id = await add_device(
                db,
                person_id,
                chosen.organization_id,
                kind="cli",
                name=NAME,
                address=request.client.host if request.client else "",
                # Pressed twice, it is one sign-in.
                device_id=DeviceId(derived_id(f"cli:{viewer.session_id}:{callback.state}")),
            )
        token = self._desk.tokens.make(
            device_id,
            person_id,
            None if chosen.is_personal else chosen.organization_id,
            lifetime_s=LIFETIME_DAYS["cli"] * DAY_S,
        )
        return _away(callback.with_token(token))


def _away(url: str) -> Response:
    return RedirectResponse(
        url, status_code=303, headers={"cache-control": "no-store", "referrer-policy": "no-referrer"}
    )
