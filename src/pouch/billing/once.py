"""`Idempotency-Key`: a request that changes something is done once, however often it is sent.

In words. The same key with the same content is answered as the first time, for a day. With other content it is refused
(422); while the first is still being answered it is refused for the moment (409 with Retry-After). What was refused
changed nothing and is not remembered: the same key may be sent again. A key belongs to one organization.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

import orjson
from starlette.requests import Request
from starlette.responses import Response

from pouch.base.database import Connection, Database
from pouch.base.errors import InvalidInput, PouchError, UnderWay
from pouch.base.ids import derived_id

HEADER = "idempotency-key"
KEPT_FOR_H = 24
LEASE_S = 60
"""How long a request that asks the network is taken to be alive; longer than any of them may last."""

_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)
_LOCK = 0x6F6E6365  # "once": with the request's id, the advisory lock of a request that is being answered

Content = Mapping[str, object] | list[object]


class RequestReused(PouchError):
    """The key was used for a request with other content. Nothing was done."""

    code = "idempotency_key_reused"
    status = 422

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used for a request with other content. A new intention needs a new key."
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with, now and each time it is repeated within a day."""

    content: Content
    status: int = 200


@dataclass(frozen=True, slots=True)
class _Asked:
    id: UUID
    fingerprint: bytes


class Once:
    """Does what a request asks for once, and gives every repetition the first answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def in_one_commit(
        self, request: Request, organization_id: UUID, act: Callable[[Connection], Awaitable[Answer]]
    ) -> Response:
        """Run `act` in a transaction that also keeps its answer: a crash leaves both or neither.

        For everything that needs no network. Raises InvalidInput without a usable key, RequestReused and UnderWay, and
        whatever `act` raises; nothing is kept then.
        """
        asked = await _read(request, organization_id)
        async with self._database.transaction() as db:
            known = await _find(db, asked)
            if known is not None:
                return known
            answer = await act(db)
            body = orjson.dumps(answer.content)
            await db.execute(
                """
                INSERT INTO billing_requests (id, fingerprint, status, body) VALUES (%s, %s, %s, %s)
                ON CONFLICT (id) DO UPDATE
                   SET fingerprint = excluded.fingerprint, status = excluded.status, body = excluded.body,
                       created_at = now(), lease_until = NULL, epoch = billing_requests.epoch + 1
                """,
                (asked.id, asked.fingerprint, answer.status, body.decode()),
            )
        return _response(answer.status, body)

    async def across_the_network(
        self, request: Request, organization_id: UUID, act: Callable[[UUID], Awaitable[Answer]]
    ) -> Response:
        """Run `act` outside any transaction: it commits its own row first and then asks the network.

        `act` is given the request's id, which is the same each time: it must be what makes its row unique, because
        after a crash the same request acts again. Raises as `in_one_commit`.
        """
        asked = await _read(request, organization_id)
        async with self._database.transaction() as db:
            known = await _find(db, asked)
            if known is not None:
                return known
            epoch = await _begin(db, asked)
        try:
            answer = await act(asked.id)
        except PouchError:
            async with self._database.transaction() as db:
                await db.execute(
                    "DELETE FROM billing_requests WHERE id = %s AND epoch = %s AND status IS NULL", (asked.id, epoch)
                )
            raise
        body = orjson.dumps(answer.content)
        async with self._database.transaction() as db:
            await db.execute(
                """
                UPDATE billing_requests SET status = %s, body = %s, lease_until = NULL
                 WHERE id = %s AND epoch = %s AND status IS NULL
                """,
                (answer.status, body.decode(), asked.id, epoch),
            )
        return _response(answer.status, body)


async def forget_old_requests(db: Connection) -> None:
    """Forget what was answered more than a day ago: its keys act anew."""
    await db.execute(
        "DELETE FROM billing_requests WHERE created_at < now() - make_interval(hours => %s)", (KEPT_FOR_H,)
    )


async def _read(request: Request, organization_id: UUID) -> _Asked:
    key = request.headers.get(HEADER, "")
    if not key:
        raise InvalidInput(
            "Send an Idempotency-Key with this request: any text of your own that is new for each intention.",
            field="Idempotency-Key",
        )
    if not _KEY.fullmatch(key):
        raise InvalidInput("An Idempotency-Key is 1 to 255 visible ASCII characters.", field="Idempotency-Key")
    told = orjson.dumps([request.method, request.url.path, _content(await request.body())], option=orjson.OPT_SORT_KEYS)
    return _Asked(derived_id(f"billing request:{organization_id}:{key}"), hashlib.sha256(told).digest())


def _content(body: bytes) -> object:
    # Spaces and the order of names are no difference in what is wanted.
    try:
        return orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        return body.decode("latin-1")


async def _find(db: Connection, asked: _Asked) -> Response | None:
    # The lock dies with its transaction, so a request that crashed never leaves a key that is refused for ever.
    taken = await db.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, %s))", (str(asked.id), _LOCK))
    row = await taken.fetchone()
    if row is None or not row[0]:
        raise _under_way()
    found = await db.execute(
        """
        SELECT fingerprint, status, body, lease_until > now() FROM billing_requests
         WHERE id = %s AND created_at >= now() - make_interval(hours => %s)
        """,
        (asked.id, KEPT_FOR_H),
    )
    row = await found.fetchone()
    if row is None:
        return None
    fingerprint, status, body, is_alive = row
    if bytes(fingerprint) != asked.fingerprint:
        raise RequestReused
    if status is not None:
        return _response(status, body.encode(), is_repeated=True)
    if is_alive:
        raise _under_way()
    return None


async def _begin(db: Connection, asked: _Asked) -> int:
    begun = await db.execute(
        """
        INSERT INTO billing_requests (id, fingerprint, lease_until)
        VALUES (%(id)s, %(fingerprint)s, now() + make_interval(secs => %(lease_s)s))
        ON CONFLICT (id) DO UPDATE
           SET fingerprint = excluded.fingerprint, status = NULL, body = NULL, created_at = now(),
               lease_until = excluded.lease_until, epoch = billing_requests.epoch + 1
        RETURNING epoch
        """,
        {"id": asked.id, "fingerprint": asked.fingerprint, "lease_s": LEASE_S},
    )
    row = await begun.fetchone()
    assert row is not None
    return int(row[0])


def _under_way() -> UnderWay:
    return UnderWay("The same request is being answered right now. Ask again in a second.", retry_after_s=1)


def _response(status: int, body: bytes, *, is_repeated: bool = False) -> Response:
    headers = {"cache-control": "private, no-store"} | ({"idempotent-replayed": "true"} if is_repeated else {})
    return Response(body, status, headers, media_type="application/json")
