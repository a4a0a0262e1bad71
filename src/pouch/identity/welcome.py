"""The welcome credits: once to each mailbox, when somebody has proved that it is theirs."""

from hashlib import sha256

from pouch.base.database import Connection
from pouch.base.money import Money
from pouch.identity.types import OrganizationId
from pouch.ledger.grants import grant


async def give_welcome(db: Connection, organization_id: OrganizationId, canonical: str, amount: Money) -> bool:
    """Give the welcome credits if this mailbox never got any. Says whether it did now.

    An account that was deleted, an address that was changed and other ways to write one mailbox bring no second ones.
    """
    if not amount:
        return False
    first = await db.execute(
        "INSERT INTO identity_welcomes (mailbox_hash) VALUES (%s) ON CONFLICT DO NOTHING",
        (sha256(mailbox(canonical).encode()).digest(),),
    )
    if first.rowcount == 0:
        return False
    return await grant(db, organization_id, amount, key=f"welcome:{organization_id}", note="Welcome credits")


def mailbox(canonical: str) -> str:
    """An address without its dots and +tag, which most mail hosts ignore.

    Only for gifts: two people whom this confuses both have their accounts, and one of them no welcome credits.
    """
    local, _, host = canonical.rpartition("@")
    return f"{local.partition('+')[0].replace('.', '')}@{host}"
