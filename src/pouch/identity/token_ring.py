"""The token ring: who holds a session token, answered from memory for as long as that is safe."""

import time
from collections.abc import Callable, Sequence
from uuid import UUID

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Connection, Database
from pouch.identity.devices import find_holder, just_revoked, note_seen
from pouch.identity.keys import hash_secret
from pouch.identity.ring import CALLERS_MAX, Ring
from pouch.identity.session_tokens import SessionTokens
from pouch.identity.types import Holder


class TokenRing(Ring[Holder]):
    """Finds the holder of a session token: its signature first, then whether the device is still signed in.

    A token that was issued before its device was revoked opens nothing afterwards: see `Ring`.
    """

    def __init__(
        self,
        database: Database,
        tokens: SessionTokens,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Clock = system_clock,
        callers_max: int = CALLERS_MAX,
    ) -> None:
        super().__init__(database, clock=clock, callers_max=callers_max)
        self._tokens = tokens
        self._now = now

    async def holder(self, token: str) -> Holder | None:
        """Who holds it. None when it opens nothing; Unavailable when the database does not say in time."""
        digest = hash_secret(token)
        holder = self._remembered(digest)
        if holder is None:
            claims = self._tokens.read(token)
            holder = await self._look_up(digest, lambda db: find_holder(db, claims)) if claims is not None else None
        if holder is None or holder.expires_at <= self._now().timestamp():
            return None
        return self._noted(holder)

    def forget_person(self, person_id: UUID) -> None:
        """Look all tokens of a person up anew. Call it after the commit that signed their programs out."""
        self._forget(lambda holder: holder.person_id == person_id)

    def _id_of(self, found: Holder) -> UUID:
        return found.device_id

    async def _just_revoked(self, db: Connection) -> Sequence[UUID]:
        return await just_revoked(db)

    async def _note(self, db: Connection, ids: Sequence[UUID]) -> None:
        await note_seen(db, ids)
