"""A client's Idempotency-Key: it never starts a second call while the first is under way or was charged."""

import hashlib
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from pouch.base.database import Connection, Database
from pouch.base.errors import Unavailable
from pouch.base.ids import show_id
from pouch.gateway.errors import AlreadyCalled, BadRequest

KEY_BYTES_MAX = 255
KEPT_FOR_H = 48

log = structlog.get_logger()


class IdempotencyKeys:
    """Which call a client's key belongs to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, key_id: UUID, text: bytes, generation_id: UUID) -> bytes:
        """Give the key to this call and return its hash, for `forget`.

        Raises AlreadyCalled, naming the other call, when it belongs to one; BadRequest when it is too long;
        Unavailable when the database does not answer.
        """
        if len(text) > KEY_BYTES_MAX:
            raise BadRequest(f"An Idempotency-Key has at most {KEY_BYTES_MAX} bytes.")
        digest = hashlib.sha256(text).digest()
        try:
            async with self._database.transaction() as db:
                owner = await claim_key(db, key_id, digest, generation_id)
        except (psycopg.Error, PoolTimeout) as error:
            raise Unavailable("Idempotency-Keys cannot be checked right now. Nothing was charged.") from error
        if owner != generation_id:
            shown = show_id("gen", owner)
            raise AlreadyCalled(
                f"This Idempotency-Key was used for {shown}. A new call needs a new key.",
                metadata={"generation_id": shown},
            )
        return digest

    async def forget(self, key_id: UUID, digest: bytes) -> None:
        """The call ended without a charge: the key may be used again. Without a database it stays used."""
        try:
            async with self._database.transaction() as db:
                await db.execute(
                    "DELETE FROM gateway_idempotency_keys WHERE key_id = %s AND hash = %s", (key_id, digest)
                )
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("idempotency key stays used", error=type(error).__name__)


async def claim_key(db: Connection, key_id: UUID, digest: bytes, generation_id: UUID) -> UUID:
    """The call that the key belongs to: this one, or the one that came first."""
    rows = await db.execute(
        """
        INSERT INTO gateway_idempotency_keys (key_id, hash, generation_id) VALUES (%s, %s, %s)
        ON CONFLICT ON CONSTRAINT gateway_idempotency_keys_once DO UPDATE SET hash = excluded.hash
        RETURNING generation_id
        """,
        (key_id, digest, generation_id),
    )
    row = await rows.fetchone()
    assert row is not None
    owner: UUID = row[0]
    return owner


async def forget_old_keys(db: Connection) -> None:
    """Forget keys of calls that are older than two days."""
    await db.execute(
        "DELETE FROM gateway_idempotency_keys WHERE created_at < now() - make_interval(hours => %s)", (KEPT_FOR_H,)
    )
