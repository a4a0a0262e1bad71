"""Whoever may call models: the one place that tells API keys and session tokens apart."""

from pouch.identity.keyring import KeyRing
from pouch.identity.token_ring import TokenRing
from pouch.identity.types import Caller, Holder, KeyId


class Callers:
    """Finds the caller of a key or a session token alike."""

    def __init__(self, keys: KeyRing, tokens: TokenRing) -> None:
        self._keys = keys
        self._tokens = tokens

    async def caller(self, secret: str) -> Caller | None:
        """Whose key or token this is. None when it opens nothing; Unavailable when the database does not say."""
        if secret.count(".") != 2:
            return await self._keys.caller(secret)
        holder = await self._tokens.holder(secret)
        return caller_of(holder) if holder is not None else None


def caller_of(holder: Holder) -> Caller:
    """A signed-in program may call models, and nothing else that a key may be allowed to."""
    return Caller(
        key_id=KeyId(holder.device_id),
        organization_id=holder.organization_id,
        person_id=holder.person_id,
        scopes=frozenset({"inference"}),
    )
