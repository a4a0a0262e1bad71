"""Keys that Pouch makes for an agent's run: one for each attempt, bound to its limits and models, shown to nobody."""

from collections.abc import Sequence
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.ids import new_id
from pouch.identity.keys import hash_secret, new_secret
from pouch.identity.types import KeyId
from pouch.ledger.blocks import block


async def add_run_key(  # noqa: PLR0913 -- two by position, the rest by name
    db: Connection,
    organization_id: UUID,
    *,
    person_id: UUID,
    name: str,
    counts_for: Sequence[UUID],
    model_ids: Sequence[str],
) -> tuple[KeyId, str]:
    """Make a key whose calls count for these subjects and may name these models alone. Returns its id and secret.

    It is none of the organization's own keys: the Keys page does not show it and it takes no room there.
    """
    assert counts_for, "without a subject it would be a person's key"
    key_id, secret = KeyId(new_id()), new_secret()
    await db.execute(
        """
        INSERT INTO identity_keys
               (id, organization_id, person_id, name, secret_hash, hint, scopes, counts_for, model_ids)
        VALUES (%s, %s, %s, %s, %s, %s, '{inference}', %s, %s)
        """,
        (key_id, organization_id, person_id, name, hash_secret(secret), secret[-4:], list(counts_for), list(model_ids)),
    )
    return key_id, secret


async def end_run_keys(db: Connection, key_ids: Sequence[UUID]) -> None:
    """Revoke and block keys of runs: from this commit on nothing can be held on them, in any process."""
    await db.execute(
        "UPDATE identity_keys SET revoked_at = clock_timestamp() WHERE id = ANY(%s) AND revoked_at IS NULL",
        (list(key_ids),),
    )
    for key_id in key_ids:
        await block(db, key_id)
