"""Grants: credits that nobody paid for, and what is left of them when their time is over."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.errors import InvalidInput
from pouch.base.ids import derived_id
from pouch.base.money import ZERO, Money
from pouch.ledger import accounts
from pouch.ledger.errors import PostingMismatch
from pouch.ledger.lots import GrantKind, after_holds, lots_of
from pouch.ledger.operations import Posted, Transfer
from pouch.ledger.posting import post

DUE_MAX = 200
"""The most grants that one round of the expiry looks at."""


@dataclass(frozen=True, slots=True)
class Given:
    """A grant as it stands now."""

    kind: GrantKind
    expires_at: datetime | None
    left: Money


async def grant(  # noqa: PLR0913 -- the kind, the end and the cause are by name and have their defaults
    db: Connection,
    organization_id: UUID,
    amount: Money,
    *,
    key: str,
    note: str,
    kind: GrantKind = "promotional",
    expires_at: datetime | None = None,
    cause: UUID | None = None,
) -> bool:
    """Give an organization credits once per key: True when given now, False when the key had given them before.

    Raises PostingMismatch when the key gave another amount, to another organization or with another end, and
    InvalidInput when they would have expired already.
    """
    transfer = Transfer(f"grant:{key}", "promo", organization_id, amount.nanos, "grant", cause=cause, note=note)
    (answer,) = await post(db, [transfer])
    is_new = isinstance(answer, Posted) and not answer.repeated
    if is_new:
        await _add(db, transfer.id, organization_id, kind, expires_at)
    elif (kind, expires_at) != await _known(db, transfer.id):
        raise PostingMismatch(f"grant {key} was given before with another kind or another end")
    return is_new


async def find_grant(db: Connection, organization_id: UUID, grant_id: UUID) -> Given:
    """What a grant of this organization is, by the id of its transfer, and what is left of it."""
    kind, expires_at = await _known(db, grant_id)
    lots = await lots_of(db, organization_id)
    return Given(kind, expires_at, next((lot.left for lot in lots if lot.id == grant_id), ZERO))


async def expire(db: Connection, grant_id: UUID) -> Money:
    """Take back what is left of a grant whose time is over, in the caller's transaction; the amount that went.

    In words: only from its own lot; and what is held was admitted on it, so that much stays until the holds end. The
    grant is looked at again until nothing of it is left. Repeating it takes nothing twice.
    """
    rows = await db.execute(
        """
        SELECT organization_id FROM ledger_grants
         WHERE id = %s AND expires_at <= now() AND expired_at IS NULL FOR NO KEY UPDATE
        """,
        (grant_id,),
    )
    row = await rows.fetchone()
    if row is None:
        return ZERO
    has = await accounts.lock(db, row[0])
    lots = await lots_of(db, row[0])
    left = next((lot.left for lot in lots if lot.id == grant_id), ZERO)
    gone = next((lot.left for lot in after_holds(lots, has.held) if lot.id == grant_id), ZERO)
    if gone:
        # What is left falls each time, so each time has a key of its own.
        key = f"expiry:{grant_id}:{left.nanos}"
        await post(
            db, [Transfer(key, row[0], "promo", gone.nanos, "expiry", cause=grant_id, note="Their time was over")]
        )
    if gone == left:
        await db.execute("UPDATE ledger_grants SET expired_at = now() WHERE id = %s", (grant_id,))
    return gone


async def due(db: Connection, *, after: UUID | None = None) -> list[UUID]:
    """The grants whose time is over and of which something may be left, in the order of their ids."""
    rows = await db.execute(
        """
        SELECT id FROM ledger_grants
         WHERE expires_at <= now() AND expired_at IS NULL AND (%(after)s::uuid IS NULL OR id > %(after)s)
         ORDER BY id LIMIT %(limit)s
        """,
        {"after": after, "limit": DUE_MAX},
    )
    return [grant_id for (grant_id,) in await rows.fetchall()]


def grant_id_of(key: str) -> UUID:
    """The id of the grant that a key gives."""
    return derived_id(f"grant:{key}")


async def _add(
    db: Connection, grant_id: UUID, organization_id: UUID, kind: GrantKind, expires_at: datetime | None
) -> None:
    added = await db.execute(
        """
        INSERT INTO ledger_grants (id, organization_id, kind, expires_at)
        SELECT %(id)s, %(organization)s, %(kind)s, %(expires)s
         WHERE %(expires)s::timestamptz IS NULL OR %(expires)s::timestamptz > now()
        """,
        {"id": grant_id, "organization": organization_id, "kind": kind, "expires": expires_at},
    )
    if added.rowcount == 0:
        raise InvalidInput("These credits would have expired already.", field="expires_at")


async def _known(db: Connection, grant_id: UUID) -> tuple[GrantKind, datetime | None]:
    rows = await db.execute("SELECT kind, expires_at FROM ledger_grants WHERE id = %s", (grant_id,))
    row = await rows.fetchone()
    return (row[0], row[1]) if row else ("promotional", None)
