"""The sign-in API of the editor: a ticket for a client token, the client token for session tokens, and the way out.

Its shape is what Roo's extension asks of Clerk. The client token is the device's secret; it opens nothing but this.
"""

from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pouch.base.database import Connection, Database
from pouch.base.errors import InvalidInput, NotFound
from pouch.base.ids import read_id, show_id
from pouch.base.signed_ids import SignedIds
from pouch.identity.devices import Asked, Editor, find_editor, revoke_device, take_seat
from pouch.identity.profiles import Membership, find_profile, memberships_of
from pouch.identity.session_tokens import SessionTokens
from pouch.identity.throttles import Throttle, Throttles, client_network
from pouch.identity.tickets import TicketEnded, use_ticket
from pouch.identity.token_ring import TokenRing
from pouch.identity.types import DeviceId, OrganizationId
from pouch.roo.bearer import NotSignedIn, bearer
from pouch.web.forms import read_form

TOKEN_LIFETIME_S = 120
"""Editors ask for a new token every 50 seconds; one that is late has another minute."""
TICKETS_PER_CLIENT = Throttle("ticket-client", 50, 15 * 60)
"""Tickets that were none, from one client."""
PROGRAM_LENGTH_MAX = 40


@dataclass(frozen=True, slots=True)
class Desk:
    """What editors are signed in with."""

    database: Database
    tickets: SignedIds
    tokens: SessionTokens
    ring: TokenRing
    throttles: Throttles


class Clerk:
    """/v1/client/* and /v1/me*."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._database = desk.database

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        session = "/v1/client/sessions/{session}"
        return [
            Route("/v1/client/sign_ins", self.sign_in, methods=["POST"]),
            Route(f"{session}/tokens", self.token, methods=["POST"]),
            Route(f"{session}/remove", self.sign_out, methods=["POST"]),
            Route("/v1/me", self.me, methods=["GET"]),
            Route("/v1/me/organization_memberships", self.memberships, methods=["GET"]),
        ]

    async def sign_in(self, request: Request) -> Response:
        """Take a ticket; the client token is in the header `Authorization` of the answer, and nowhere else."""
        form = await read_form(request)
        if form.get("strategy") != "ticket" or not form.get("ticket"):
            raise InvalidInput("Sign in with strategy=ticket and the ticket.", field="strategy")
        address = request.client.host if request.client else ""
        with self._desk.throttles.attempt((TICKETS_PER_CLIENT, client_network(address))) as attempt:
            try:
                device_id, secret = await self._use(form["ticket"], request, address)
            except TicketEnded:
                attempt.count()
                raise
        answer = _answer({"response": {"object": "sign_in_attempt", "created_session_id": show_id("dev", device_id)}})
        answer.headers["authorization"] = secret
        return answer

    async def token(self, request: Request) -> Response:
        """A new session token, on behalf of the organization that is asked for. Each editor asks every 50 seconds."""
        form, device_id = await read_form(request), _device_id(request)
        async with self._database.transaction() as db:
            seat = await take_seat(db, bearer(request), device_id, _asked(form.get("organization_id")))
        if seat is None:
            raise NotSignedIn
        jwt = self._desk.tokens.make(seat.device_id, seat.person_id, seat.organization_id, lifetime_s=TOKEN_LIFETIME_S)
        return _answer({"object": "token", "jwt": jwt})

    async def sign_out(self, request: Request) -> Response:
        """End the editor's session. From now on its tokens open nothing."""
        device_id = _device_id(request)
        async with self._database.transaction() as db:
            editor = await self._editor(request, db)
            if editor.device_id != device_id:
                raise NotFound("This is the session of another program.")
            await revoke_device(db, editor.person_id, device_id)
        self._desk.ring.forget(device_id)
        return _answer({"response": {"object": "session", "id": show_id("dev", device_id), "status": "removed"}})

    async def me(self, request: Request) -> Response:
        """Who is signed in."""
        async with self._database.transaction() as db:
            editor = await self._editor(request, db)
            profile = await find_profile(db, editor.person_id)
        address = {"id": show_id("idn", profile.id), "email_address": profile.email}
        return _answer(
            {
                "response": {
                    "id": show_id("usr", profile.id),
                    "first_name": None,
                    "last_name": None,
                    "primary_email_address_id": address["id"],
                    "email_addresses": [address],
                    "public_metadata": {},
                }
            }
        )

    async def memberships(self, request: Request) -> Response:
        """The organizations that the person shares."""
        async with self._database.transaction() as db:
            editor = await self._editor(request, db)
            found = await memberships_of(db, editor.person_id)
        return _answer({"response": [_membership(each, editor) for each in found if not each.is_personal]})

    async def _use(self, ticket: str, request: Request, address: str) -> tuple[DeviceId, str]:
        ticket_id = self._desk.tickets.read(ticket)
        if ticket_id is None:
            raise TicketEnded
        async with self._database.transaction() as db:
            return await use_ticket(db, ticket_id, program=_program(request), address=address)

    async def _editor(self, request: Request, db: Connection) -> Editor:
        editor = await find_editor(db, bearer(request))
        if editor is None:
            raise NotSignedIn
        return editor


def _membership(membership: Membership, editor: Editor) -> dict[str, object]:
    since, founded = (int(at.timestamp() * 1000) for at in (membership.since, membership.founded_at))
    organization_id = show_id("org", membership.organization_id)
    return {
        "id": f"mem_{organization_id}_{show_id('usr', editor.person_id)}",
        "role": "org:admin" if membership.role in {"owner", "admin"} else "org:member",
        "permissions": [],
        "created_at": since,
        "updated_at": since,
        "organization": {
            "id": organization_id,
            "name": membership.name,
            "slug": organization_id,
            "has_image": False,
            "created_at": founded,
            "updated_at": founded,
        },
    }


def _asked(text: str | None) -> Asked:
    if text is None:
        return "last"
    if text in {"", "null"}:
        return "personal"
    organization_id = read_id("org", text)
    if organization_id is None:
        raise NotFound("There is no such organization.")
    return OrganizationId(organization_id)


def _device_id(request: Request) -> DeviceId:
    device_id = read_id("dev", request.path_params["session"])
    if device_id is None:
        raise NotFound("There is no such session.")
    return DeviceId(device_id)


def _program(request: Request) -> str:
    """What the editor calls itself: "Roo-Code 3.52.1"."""
    words = " ".join(request.headers.get("user-agent", "").split())[:PROGRAM_LENGTH_MAX]
    return words if words.isprintable() else ""


def _answer(document: object) -> Response:
    return Response(orjson.dumps(document), media_type="application/json", headers={"cache-control": "no-store"})
