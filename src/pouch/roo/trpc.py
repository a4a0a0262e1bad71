"""tRPC, as far as Roo's command line speaks it: `auth.me`, batched or not, in superjson's form."""

from collections.abc import Mapping
from datetime import datetime

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pouch.base.database import Database
from pouch.base.errors import PouchError
from pouch.base.ids import show_id
from pouch.identity.profiles import Profile, find_profile
from pouch.identity.token_ring import TokenRing
from pouch.roo.bearer import COMMAND_LINE, holder

BATCH_MAX = 10
PROCEDURES_LENGTH_MAX = 500
_CODES = {
    400: ("BAD_REQUEST", -32600),
    401: ("UNAUTHORIZED", -32001),
    403: ("FORBIDDEN", -32003),
    404: ("NOT_FOUND", -32004),
    503: ("SERVICE_UNAVAILABLE", -32053),
}


class Trpc:
    """GET /trpc/{procedures}."""

    def __init__(self, database: Database, ring: TokenRing) -> None:
        self._database = database
        self._ring = ring

    def routes(self) -> list[BaseRoute]:
        """The route."""
        return [Route("/trpc/{procedures}", self.ask, methods=["GET"])]

    async def ask(self, request: Request) -> Response:
        """Answer one procedure, or several in one request (`batch=1`), each for itself."""
        is_batch = request.query_params.get("batch") == "1"
        text = request.path_params["procedures"]
        names = text.split(",") if is_batch else [text]
        if len(text) > PROCEDURES_LENGTH_MAX or len(names) > BATCH_MAX:
            names = names[:1]
            answers = [_failed(names[0][:50], 400, "That is too much at once.")]
        else:
            answers = [await self._answer(request, name, is_batch=is_batch) for name in names]
        statuses = {status for status, _ in answers}
        documents = [document for _, document in answers]
        return Response(
            orjson.dumps(documents if is_batch else documents[0]),
            status_code=statuses.pop() if len(statuses) == 1 else 207,
            media_type="application/json",
            headers={"cache-control": "no-store"},
        )

    async def _answer(self, request: Request, name: str, *, is_batch: bool) -> tuple[int, dict[str, object]]:
        if name != "auth.me":
            return _failed(name, 404, "There is no such procedure.")
        if not _is_readable(request.query_params.get("input"), is_batch=is_batch):
            return _failed(name, 400, "The input could not be read.")
        try:
            who = await holder(request, self._ring, COMMAND_LINE)
            async with self._database.transaction() as db:
                profile = await find_profile(db, who.person_id)
        except PouchError as error:
            return _failed(name, error.status if error.status in _CODES else 400, error.message)
        return 200, {"result": {"data": {"json": {"type": "user", "user": _user(profile)}}}}


def _is_readable(text: str | None, *, is_batch: bool) -> bool:
    """`auth.me` takes no input; what says so must still be what tRPC would send."""
    if text is None:
        return True
    try:
        return isinstance(orjson.loads(text), dict) or not is_batch
    except orjson.JSONDecodeError:
        return False


def _failed(name: str, status: int, message: str) -> tuple[int, dict[str, object]]:
    word, code = _CODES[status]
    data: Mapping[str, object] = {"code": word, "httpStatus": status, "path": name}
    return status, {"error": {"json": {"message": message, "code": code, "data": data}}}


def _user(profile: Profile) -> dict[str, object]:
    user_id, name, since = show_id("usr", profile.id), profile.email.partition("@")[0], _time(profile.created_at)
    return {
        "id": user_id,
        "name": name,
        "email": profile.email,
        "imageUrl": None,
        "entity": {
            "id": user_id,
            "username": None,
            "image_url": "",
            "first_name": name,
            "last_name": "",
            "email_addresses": [{"email_address": profile.email}],
            "public_metadata": {},
        },
        "publicMetadata": {},
        "stripeCustomerId": None,
        "lastSyncAt": since,
        "deletedAt": None,
        "createdAt": since,
        "updatedAt": since,
    }


def _time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
