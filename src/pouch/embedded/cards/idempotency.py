"""Idempotency keys as Stripe's first API version keeps them.

The same key with the same parameters gets the same answer again, a 500 included; with other parameters it is refused;
while the first request is still running it is a conflict. What was refused before it began is not remembered.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from pouch.base.database import Connection
from pouch.embedded.cards.errors import Refusal
from pouch.embedded.cards.types import Json

KEPT_FOR = timedelta(hours=24)
KEY_LENGTH_MAX = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body, as they go over the wire."""

    status: int
    body: str
    is_replayed: bool = False

    @classmethod
    def of(cls, body: Json, status: int = 200) -> "Answer":
        """Write an object down."""
        return cls(status, orjson.dumps(body).decode())


def fingerprint(method: str, path: str, parameters: Mapping[str, object]) -> str:
    """What makes two requests the same one."""
    told = orjson.dumps([method, path, parameters], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(told).hexdigest()


async def once(db: Connection, now: datetime, key: str, print_: str, act: Callable[[], Awaitable[Answer]]) -> Answer:
    """Run `act` unless this key has an answer, and remember its answer in the same transaction as its effects.

    So a crash leaves either both or neither. Raises Refusal on a conflict or a mismatch, and lets through the Refusal
    of `act`, which is not remembered.
    """
    if len(key) > KEY_LENGTH_MAX:
        raise Refusal(f"Idempotency keys have at most {KEY_LENGTH_MAX} characters.", type_="idempotency_error")
    await _take(db, key)
    known = await _find(db, key, now)
    if known is not None and known[0] != print_:
        raise Refusal(
            "Keys for idempotent requests can only be used with the same parameters they were first used with. "
            f"Try using a key other than '{key}' if you meant to execute a different request.",
            type_="idempotency_error",
        )
    if known is not None:
        return known[1]
    answer = await act()
    await db.execute(
        """
        INSERT INTO cards_requests (key, created_at, fingerprint, status, body) VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (key) DO UPDATE
           SET created_at = excluded.created_at, fingerprint = excluded.fingerprint,
               status = excluded.status, body = excluded.body
        """,
        (key, now, print_, answer.status, answer.body),
    )
    return answer


async def forget_old(db: Connection, now: datetime) -> None:
    """Drop answers older than a day: their keys act anew, as at Stripe."""
    await db.execute("DELETE FROM cards_requests WHERE created_at < %s", (now - KEPT_FOR,))


async def _take(db: Connection, key: str) -> None:
    # The lock dies with its transaction, so a crashed request never leaves a key that conflicts for ever.
    cursor = await db.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 9))", (key,))
    row = await cursor.fetchone()
    if row is None or not row[0]:
        raise Refusal(
            "There is currently another in-progress request using this Idempotent Key (that probably means you "
            "submitted twice, and the other request is still going through).",
            status=409,
            type_="idempotency_error",
            code="idempotency_key_in_use",
        )


async def _find(db: Connection, key: str, now: datetime) -> tuple[str, Answer] | None:
    cursor = await db.execute(
        "SELECT fingerprint, status, body FROM cards_requests WHERE key = %s AND created_at >= %s",
        (key, now - KEPT_FOR),
    )
    row = await cursor.fetchone()
    return None if row is None else (row[0], Answer(row[1], row[2], is_replayed=True))
