"""The key ring: whose API key this is, answered from memory for as long as that is safe."""

from collections.abc import Sequence
from uuid import UUID

from pouch.base.clock import system_clock
from pouch.base.database import Connection
from pouch.identity.keys import find_caller, hash_secret, looks_real
from pouch.identity.ring import Ring
from pouch.identity.types import Caller


class KeyRing(Ring[Caller]):
    """Finds the caller of a key. A known key costs a hash and a look into a dict."""

    async def caller(self, secret: str) -> Caller | None:
        """Whose key this is. None when it is not a live key; Unavailable when the database does not say in time."""
        digest = hash_secret(secret)
        caller = self._remembered(digest)
        if caller is None and looks_real(secret):
            caller = await self._look_up(digest, lambda db: find_caller(db, secret))
        return self._noted(caller) if caller is not None else None

    def _id_of(self, found: Caller) -> UUID:
        return found.key_id

    def _ends_in_s(self, found: Caller) -> float | None:
        return None if found.expires_at is None else (found.expires_at - system_clock()).total_seconds()

    async def _just_revoked(self, db: Connection) -> Sequence[UUID]:
        rows = await db.execute(
            "SELECT id FROM identity_keys WHERE greatest(revoked_at, disabled_at) > now() - interval '30 seconds'"
        )
        return [row[0] for row in await rows.fetchall()]

    async def _note(self, db: Connection, ids: Sequence[UUID]) -> None:
        # Locked in id order: two processes note the same keys.
        await db.execute(
            """
            UPDATE identity_keys SET used_at = now()
             WHERE id IN (SELECT id FROM identity_keys WHERE id = ANY(%s) ORDER BY id FOR UPDATE)
            """,
            (list(ids),),
        )
