"""/api/v1/keys: making, reading, changing and revoking keys as a program, in the shapes that OpenRouter's clients read.

It takes a key with the scope `keys`. A key can make only such keys as may do no more than itself, and call models.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import orjson
from pydantic import AwareDatetime, BeforeValidator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Connection, Database
from pouch.base.errors import InvalidInput, NotAllowed, NotFound
from pouch.base.ids import read_id, show_id
from pouch.base.money import ZERO, Money
from pouch.billing.callers import key_caller
from pouch.identity.keyring import KeyRing
from pouch.identity.keys import KeyChange, add_key, change_key, find_key, list_keys, revoke_key
from pouch.identity.letters import tell_key_made
from pouch.identity.people import find_person_with_id
from pouch.identity.types import Caller, Key, KeyId
from pouch.ledger.books import Period
from pouch.usage.days import Spent, spent_by_key, spent_with
from pouch.web.bodies import Body, read_json

LISTED_MAX = 100
_DIGITS_MAX = 15
"""So many a binary number carries exactly."""

Reset = Literal["daily", "weekly", "monthly"]
_PERIODS: dict[Reset | None, Period] = {None: "ever", "daily": "day", "weekly": "week", "monthly": "month"}
RESETS: dict[Period, Reset | None] = {period: reset for reset, period in _PERIODS.items()}


def _dollars(value: object) -> Money | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("it must be an amount in US dollars such as 12.5")  # noqa: TRY004 -- what pydantic reports
    text = value if isinstance(value, str) else format(Decimal(repr(value)), "f").removesuffix(".0")
    if not isinstance(value, str) and sum(letter.isdigit() for letter in text) > _DIGITS_MAX:
        raise ValueError("a number has lost digits; write the amount as text")
    return Money.parse(text)


Amount = Annotated[Money | None, BeforeValidator(_dollars)]


class NewKey(Body):
    """What a key is to be."""

    name: str
    limit: Amount = None
    """The most it may spend, in each period of `limit_reset`; null: as much as there is."""
    limit_reset: Reset | None = None
    expires_at: AwareDatetime | None = None
    scopes: tuple[str, ...] = ("inference",)
    include_byok_in_limit: bool = False
    """Taken and ignored: there are no keys of your own here."""


class ChangedKey(Body):
    """What is to change; what is not named stays."""

    name: str | None = None
    disabled: bool | None = None
    limit: Amount = None
    limit_reset: Reset | None = None
    include_byok_in_limit: bool = False


class KeyApi:
    """The keys of the organization whose key asks."""

    def __init__(self, database: Database, keys: KeyRing, *, clock: Clock = system_clock) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/api/v1/keys", self.list, methods=["GET"]),
            Route("/api/v1/keys", self.make, methods=["POST"]),
            Route("/api/v1/keys/{hash}", self.show, methods=["GET"]),
            Route("/api/v1/keys/{hash}", self.change, methods=["PATCH"]),
            Route("/api/v1/keys/{hash}", self.revoke, methods=["DELETE"]),
        ]

    async def list(self, request: Request) -> Response:
        """A hundred keys after `offset`, the newest first; those that are switched off with `include_disabled=true`."""
        caller = await self._caller(request)
        offset, disabled_too = _offset(request), request.query_params.get("include_disabled") == "true"
        async with self._database.transaction() as db:
            keys = [key for key in await list_keys(db, caller.organization_id) if disabled_too or not key.disabled_at]
            spent = await spent_by_key(db, caller.organization_id, now=self._clock())
        shown = keys[offset : offset + LISTED_MAX]
        return _answer({"data": [_entry(key, spent.get(key.id, ZERO)) for key in shown]})

    async def make(self, request: Request) -> Response:
        """A new key; `key` in the answer is its secret, which nobody can show again."""
        caller = await self._caller(request)
        wanted = await read_json(request, NewKey)
        beyond = set(wanted.scopes) - caller.scopes - {"inference"}
        if beyond:
            raise NotAllowed(f"A key cannot make one that may do more: this one lacks {', '.join(sorted(beyond))}.")
        async with self._database.transaction() as db:
            person = await find_person_with_id(db, caller.person_id)
            if person is None:
                raise NotFound("Whoever this key belongs to is gone.")
            key, secret = await add_key(
                db,
                person,
                wanted.name,
                organization_id=caller.organization_id,
                scopes=wanted.scopes,
                limit=wanted.limit,
                period=_PERIODS[wanted.limit_reset],
                expires_at=wanted.expires_at,
            )
            await tell_key_made(db, person.email, key)
        return _answer({"data": _entry(key, ZERO), "key": secret}, 201)

    async def show(self, request: Request) -> Response:
        """One key."""
        caller = await self._caller(request)
        async with self._database.transaction() as db:
            return await self._shown(db, await find_key(db, caller.organization_id, _key_id(request)))

    async def change(self, request: Request) -> Response:
        """Another name or limit, or off and on again. What was spent of a limit stays spent."""
        caller = await self._caller(request)
        wanted = await read_json(request, ChangedKey)
        said = wanted.model_fields_set
        async with self._database.transaction() as db:
            key = await find_key(db, caller.organization_id, _key_id(request))
            change = KeyChange(name=wanted.name, is_disabled=wanted.disabled)
            if "limit" in said or "limit_reset" in said:
                cap = wanted.limit if "limit" in said else key.limit.cap if key.limit else None
                known = key.limit.period if key.limit else "ever"
                change = change.with_limit(cap, _PERIODS[wanted.limit_reset] if "limit_reset" in said else known)
            key = await change_key(db, caller.organization_id, key.id, change)
            answer = await self._shown(db, key)
        self._keys.forget(key.id)
        return answer

    async def revoke(self, request: Request) -> Response:
        """End a key for good."""
        caller = await self._caller(request)
        key_id = _key_id(request)
        async with self._database.transaction() as db:
            await revoke_key(db, caller.organization_id, key_id)
        self._keys.forget(key_id)
        return _answer({"deleted": True})

    async def _shown(self, db: Connection, key: Key) -> Response:
        if key.revoked_at is not None:
            raise NotFound("There is no such key.")
        spent = await spent_with(db, key.organization_id, key.id, now=self._clock())
        return _answer({"data": _entry(key, spent)})

    async def _caller(self, request: Request) -> Caller:
        caller = await key_caller(request, self._keys)
        if "keys" not in caller.scopes:
            raise NotAllowed("This key may not manage keys. It needs the scope keys.")
        return caller


def _entry(key: Key, spent: Spent | Money) -> dict[str, object]:
    periods = {}
    if isinstance(spent, Spent):
        periods = {
            **amount("usage_daily", spent.day),
            **amount("usage_weekly", spent.week),
            **amount("usage_monthly", spent.month),
        }
    return {
        "hash": show_id("key", key.id),
        "name": key.name,
        "label": f"sk-pouch-…{key.hint}",
        "disabled": key.disabled_at is not None,
        **amount("usage", spent.ever if isinstance(spent, Spent) else spent),
        **periods,
        **limit_fields(key),
        "scopes": list(key.scopes),
        "created_at": key.created_at.isoformat(),
        "updated_at": _moment(key.updated_at),
        "last_used_at": _moment(key.used_at),
        "creator_user_id": show_id("per", key.person_id),
    }


def limit_fields(key: Key) -> dict[str, object]:
    """What a key may spend and for how long, as OpenRouter's clients read it."""
    return {
        **amount("limit", key.limit.cap if key.limit else None),
        **amount("limit_remaining", key.limit.left if key.limit else None),
        "limit_reset": RESETS[key.limit.period] if key.limit else None,
        "include_byok_in_limit": False,
        "byok_usage": 0,
        "expires_at": _moment(key.expires_at),
    }


def amount(name: str, value: Money | None) -> dict[str, object]:
    """An amount as a JSON number with all its decimals, and as text beside it."""
    if value is None:
        return {name: None, f"{name}_usd": None}
    return {name: orjson.Fragment(value.decimal()), f"{name}_usd": value.decimal()}


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _key_id(request: Request) -> KeyId:
    key_id = read_id("key", request.path_params["hash"])
    if key_id is None:
        raise NotFound("There is no such key.")
    return KeyId(key_id)


def _offset(request: Request) -> int:
    text = request.query_params.get("offset", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise InvalidInput("The offset is a number from 0 on.", field="offset")
    return int(text)


def _answer(content: Mapping[str, object], status: int = 200) -> Response:
    headers = {"cache-control": "private, no-store"}
    return Response(orjson.dumps(content), status, headers, media_type="application/json")
