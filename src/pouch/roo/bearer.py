"""Reading the session token that came with a request, and the client token of an editor."""

from collections.abc import Collection

from starlette.requests import Request

from pouch.base.errors import PouchError
from pouch.identity.token_ring import TokenRing
from pouch.identity.types import DeviceKind, Holder

CLOUD_API: frozenset[DeviceKind] = frozenset({"editor", "static"})
"""Whose tokens open the Cloud API."""
COMMAND_LINE: frozenset[DeviceKind] = frozenset({"cli", "static"})
"""Whose tokens open what the command line asks."""


class NotSignedIn(PouchError):
    """No token came with the request, or one that opens nothing here."""

    code = "not_signed_in"
    status = 401

    def __init__(self) -> None:
        super().__init__("This sign-in is not known here, or it has ended. Sign in again.")


async def holder(request: Request, ring: TokenRing, kinds: Collection[DeviceKind]) -> Holder:
    """Who asks. Raises NotSignedIn unless a token of one of these kinds came, and Unavailable."""
    found = await ring.holder(bearer(request))
    if found is None or found.kind not in kinds:
        raise NotSignedIn
    return found


def bearer(request: Request) -> str:
    """What came as Authorization: Bearer …; empty when nothing did."""
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" else ""
