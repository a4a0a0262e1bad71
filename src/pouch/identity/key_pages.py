"""The Keys page: which keys there are, making one, revoking one."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pouch.base.clock import system_clock
from pouch.base.database import Connection, Database
from pouch.base.errors import InvalidInput, NotFound, PouchError
from pouch.base.ids import derived_id, new_id, read_id, show_id
from pouch.base.languages import later, say
from pouch.base.money import ZERO, Money
from pouch.identity.keyring import KeyRing
from pouch.identity.keys import PERIOD_WORDS, add_key, find_key, list_keys, revoke_key
from pouch.identity.letters import tell_key_made
from pouch.identity.limit_forms import read_limit, read_period
from pouch.identity.types import SCOPES, KeyId, OrganizationId, Scope
from pouch.identity.verification import need_verified
from pouch.web.forms import read_form
from pouch.web.pages import Web
from pouch.web.problems import problem_of

SCOPE_WORDS: dict[str, str] = {
    "inference": later("call models"),
    "billing:read": later("read billing"),
    "billing:write": later("buy credits"),
    "agents": later("run agents"),
    "keys": later("manage keys"),
}
"""What a key may do, in words for people."""


EXPIRY_WORDS: dict[str, str] = {
    "": later("never"),
    "7": later("in 7 days"),
    "30": later("in 30 days"),
    "90": later("in 90 days"),
    "365": later("in a year"),
}
KeySpending = Callable[[Connection, UUID], Awaitable[Mapping[UUID, Money]]]
"""What each key of an organization ever spent; a key that is not there spent nothing."""


class KeyPages:
    """/keys. `example_model` names the model of the ready curl line; `key_spending` comes from the room of usage."""

    def __init__(
        self,
        web: Web,
        database: Database,
        keys: KeyRing,
        example_model: Callable[[], str],
        key_spending: KeySpending | None = None,
    ) -> None:
        self._key_spending = key_spending
        self._web = web
        self._database = database
        self._keys = keys
        self._example_model = example_model

    def routes(self) -> list[Route]:
        """The routes of these pages."""
        return [
            Route("/keys", self.show, methods=["GET"]),
            Route("/keys", self.make, methods=["POST"]),
            Route("/keys/{key}/revoke", self.ask_to_revoke, methods=["GET"]),
            Route("/keys/{key}/revoke", self.revoke, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """List the keys above the form that makes one."""
        return await self._list(request, {})

    async def make(self, request: Request) -> Response:
        """Make a key, show its secret this once, and tell the person by mail."""
        viewer = await self._web.signed_in(request)
        need_verified(viewer)
        form = await read_form(request)
        try:
            limit, period = read_limit(form.get("limit", "")), read_period(form.get("period", "ever"))
            expires = _expiry(form.get("expires", ""), system_clock())
            # The same form again, after a reload or a second click, must not make a second key.
            key_id = KeyId(derived_id(f"key:{viewer.person_id}:{form.get('attempt') or new_id()}"))
            async with self._database.transaction() as db:
                key, secret = await add_key(
                    db,
                    viewer,
                    form.get("name", ""),
                    scopes=_scopes(form),
                    limit=limit,
                    period=period,
                    expires_at=expires,
                    key_id=key_id,
                )
                await tell_key_made(db, viewer.email, key)
        except PouchError as error:
            return await self._list(request, form, error)
        response = await self._web.page(
            request,
            "identity/key_made.html",
            key=key,
            secret=secret,
            example_model=self._example_model(),
            period_words=PERIOD_WORDS,
        )
        response.headers["cache-control"] = "no-store"
        return response

    async def ask_to_revoke(self, request: Request) -> Response:
        """Ask once more; the page behind the dialog of the list."""
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            key = await find_key(db, OrganizationId(viewer.organization_id), _key_id(request))
        if key.revoked_at is not None:
            return RedirectResponse("/keys", status_code=303)
        return await self._web.page(request, "identity/revoke_key.html", key=key, show_id=show_id)

    async def revoke(self, request: Request) -> Response:
        """Revoke the key for good."""
        viewer = await self._web.signed_in(request)
        key_id = _key_id(request)
        async with self._database.transaction() as db:
            await revoke_key(db, OrganizationId(viewer.organization_id), key_id)
        self._keys.forget(key_id)
        return RedirectResponse("/keys", status_code=303)

    async def _list(self, request: Request, form: dict[str, str], error: PouchError | None = None) -> Response:
        viewer = await self._web.signed_in(request)
        async with self._database.transaction() as db:
            keys = await list_keys(db, OrganizationId(viewer.organization_id))
            spent = await self._key_spending(db, viewer.organization_id) if self._key_spending else {}
        problem = problem_of(error) if error else None
        return await self._web.page(
            request,
            "identity/keys.html",
            problem.status if problem else 200,
            keys=keys,
            spent=spent,
            nothing=ZERO,
            scope_words=SCOPE_WORDS,
            show_id=show_id,
            now=system_clock(),
            period_words=PERIOD_WORDS,
            expiry_words=EXPIRY_WORDS,
            typed={name: form.get(name, "") for name in ("name", "limit", "period", "expires")},
            may=_scopes(form),
            attempt=new_id(),
            field=error.field if isinstance(error, InvalidInput) else None,
            message=problem.text if problem else "",
            example_model=self._example_model(),
        )


def _expiry(days: str, now: datetime) -> datetime | None:
    if days not in EXPIRY_WORDS:
        raise InvalidInput(say("Choose one of the ends."), field="expires")
    return now + timedelta(days=int(days)) if days else None


def _scopes(form: Mapping[str, str]) -> tuple[Scope, ...]:
    return tuple(scope for scope in SCOPES if f"may {scope}" in form) or ("inference",)


def _key_id(request: Request) -> KeyId:
    key_id = read_id("key", request.path_params["key"])
    if key_id is None:
        raise NotFound(say("There is no such key."))
    return KeyId(key_id)
