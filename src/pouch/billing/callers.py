"""Who asks the APIs about credits: a program with a key, or a signed-in person's browser."""

from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request

from pouch.base.database import Database
from pouch.base.errors import NotAllowed, PouchError
from pouch.identity.keyring import KeyRing
from pouch.identity.people import find_person_with_id
from pouch.identity.types import Caller, Scope
from pouch.web.pages import Web


class UnknownKey(PouchError):
    """No key came with the request, or one that is not in force."""

    code = "unknown_key"
    status = 401

    def __init__(self) -> None:
        super().__init__("Send a key that is in force: Authorization: Bearer sk-pouch-…")


@dataclass(frozen=True, slots=True)
class BillingCaller:
    """Whose money is meant. `session_id` is None for whoever came with a key."""

    organization_id: UUID
    person_id: UUID
    email: str
    is_verified: bool
    session_id: UUID | None


class Callers:
    """Finds who asks /api/v1/billing. A key counts before a cookie: what names itself is meant."""

    def __init__(self, web: Web, database: Database, keys: KeyRing) -> None:
        self._web = web
        self._database = database
        self._keys = keys

    async def reader(self, request: Request) -> BillingCaller:
        """A signed-in person, or a key that may read or write. Raises SignInNeeded, UnknownKey and NotAllowed."""
        return await self._caller(request, ("billing:read", "billing:write"))

    async def writer(self, request: Request) -> BillingCaller:
        """A signed-in person, or a key with billing:write. Raises as `reader`."""
        return await self._caller(request, ("billing:write",))

    async def _caller(self, request: Request, scopes: tuple[Scope, ...]) -> BillingCaller:
        if not has_key(request):
            viewer = await self._web.signed_in(request)
            return BillingCaller(
                viewer.organization_id, viewer.person_id, viewer.email, viewer.is_verified, viewer.session_id
            )
        caller = await key_caller(request, self._keys)
        if caller.scopes.isdisjoint(scopes):
            raise NotAllowed(f"This key may not do that. It needs the scope {' or '.join(scopes)}.")
        async with self._database.transaction() as db:
            person = await find_person_with_id(db, caller.person_id)
        if person is None:
            raise UnknownKey
        return BillingCaller(caller.organization_id, person.id, person.email, person.verified_at is not None, None)


def has_key(request: Request) -> bool:
    """Whether the request names a key at all."""
    return "authorization" in request.headers or "x-api-key" in request.headers


async def key_caller(request: Request, keys: KeyRing) -> Caller:
    """Whose key came with the request. Raises UnknownKey."""
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    secret = secret.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "")
    caller = await keys.caller(secret) if secret else None
    if caller is None:
        raise UnknownKey
    return caller
