"""`POST /webhooks/github`: verified over the raw bytes, looked at, stored, answered, and only then acted on."""

import hashlib
import hmac

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pouch.agents.triggers import inbox
from pouch.agents.triggers.github.installations import changed_there
from pouch.agents.triggers.github.payloads import LISTENED_TO, first_look, read_payload
from pouch.base.database import Database
from pouch.base.errors import NotFound
from pouch.web.bodies import read_raw

PATH = "/webhooks/github"
BODY_BYTES_MAX = 25 * 1024 * 1024
"""GitHub delivers nothing larger."""
DELIVERY_CHARACTERS_MAX = 100


class GitHubWebhook:
    """Takes what GitHub delivers. Without an App there is nothing here."""

    def __init__(self, database: Database, *, secret: str, slug: str) -> None:
        self._database = database
        self._secret = secret
        self._slug = slug

    def routes(self) -> list[Route]:
        """The one route. The signature is the permission."""
        return [Route(PATH, self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """202 for what is stored, now or before; 200 for what is nothing to us; 400 and no row for a bad signature."""
        if not self._secret:
            raise NotFound("There is nothing here.")
        body = await read_raw(request, BODY_BYTES_MAX)
        if body is None:
            return PlainTextResponse("This is too long for a delivery.", 413)
        if not is_signed(body, request.headers.get("x-hub-signature-256", ""), self._secret):
            return PlainTextResponse("This is not signed by GitHub.", 400)
        event, delivery = request.headers.get("x-github-event", ""), request.headers.get("x-github-delivery", "")
        if not 0 < len(delivery) <= DELIVERY_CHARACTERS_MAX or not delivery.isprintable():
            return PlainTextResponse("The delivery has no number.", 400)
        return PlainTextResponse(*await take(self._database, event, delivery, body, self._slug))


async def take(database: Database, event: str, delivery: str, body: bytes, slug: str) -> tuple[str, int]:
    """Store a delivery that is GitHub's; what is answered. Also for those that are fetched later (`catch_up`)."""
    if event not in LISTENED_TO:
        return "Nothing is done about this.", 200
    payload = read_payload(body)
    if payload is None or payload.installation is None:
        return "Nothing is done about this.", 200
    if event == "installation":
        async with database.transaction() as db:
            await changed_there(db, payload.installation.id, payload.action)
        return "Noted.", 200
    seen = first_look(event, payload, body, slug)
    if seen.facts is None:
        return seen.why, 200
    async with database.transaction() as db:
        is_new = await inbox.receive(db, "github", delivery, str(payload.installation.id), seen.facts)
    return ("Stored." if is_new else "It was stored before."), 202


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Whether the header's HMAC-SHA256 is that of the body."""
    expected = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
