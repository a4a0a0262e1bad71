"""Grants as the operator sees them: what became of each, and taking back what is left of one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.errors import NotFound
from pouch.base.ids import show_id
from pouch.base.languages import say
from pouch.base.money import ZERO, Money
from pouch.ledger import accounts
from pouch.ledger.lots import GrantKind, after_holds, lots_of
from pouch.ledger.operations import Transfer
from pouch.ledger.posting import post

GrantState = Literal["unspent", "part_spent", "spent", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class Given:
    """A grant and what is left of it. `seq` is that of its transfer."""

    id: UUID
    seq: int
    at: datetime
    organization_id: UUID
    amount: Money
    left: Money
    note: str
    kind: GrantKind
    expires_at: datetime | None
    expired_at: datetime | None
    revoked_at: datetime | None

    @property
    def shown_id(self) -> str:
        """The id as people and links see it: that of its line in the ledger."""
        return show_id("line", self.id)

    @property
    def state(self) -> GrantState:
        """What became of it."""
        if self.revoked_at is not None:
            return "revoked"
        if self.left:
            return "unspent" if self.left == self.amount else "part_spent"
        return "expired" if self.expired_at is not None else "spent"


async def newest(db: Connection, *, before: int | None = None, limit: int = 50) -> list[Given]:
    """The newest grants, from before a `seq`."""
    return await _find(
        db,
        "(%(before)s::bigint IS NULL OR t.seq < %(before)s) ORDER BY t.seq DESC LIMIT %(limit)s",
        {"before": before, "limit": limit},
    )


async def find(db: Connection, grant_id: UUID) -> Given:
    """One grant. Raises NotFound."""
    found = await _find(db, "t.id = %(id)s", {"id": grant_id})
    if not found:
        raise NotFound(say("There is no such grant."))
    return found[0]


async def revoke(db: Connection, grant_id: UUID, *, note: str) -> Money:
    """Take back what is left of a grant, in the caller's transaction; the amount that went. Raises NotFound.

    In words: only from its own lot, so what was bought or given otherwise stays; and never what is held: that was
    admitted on it. However many revoke at once, each nano-dollar goes once.
    """
    # In the order of the expiry: the grant, then the account.
    await db.execute("SELECT 1 FROM ledger_grants WHERE id = %s FOR NO KEY UPDATE", (grant_id,))
    given = await find(db, grant_id)
    has = await accounts.lock(db, given.organization_id)
    lots = await lots_of(db, given.organization_id)
    left = next((lot.left for lot in lots if lot.id == grant_id), ZERO)
    gone = next((lot.left for lot in after_holds(lots, has.held) if lot.id == grant_id), ZERO)
    if gone:
        # What is left falls each time, so each time has a key of its own.
        key = f"revoked:{grant_id}:{left.nanos}"
        transfer = Transfer(key, given.organization_id, "promo", gone.nanos, "revoked", cause=grant_id, note=note)
        await post(db, [transfer])
    if gone and gone == left:
        await db.execute(
            """
            INSERT INTO ledger_grants (id, organization_id, kind, revoked_at) VALUES (%s, %s, 'promotional', now())
            ON CONFLICT (id) DO UPDATE SET revoked_at = now()
            """,
            (grant_id, given.organization_id),
        )
    return gone


async def _find(db: Connection, where: str, parameters: dict[str, object]) -> list[Given]:
    rows = await db.execute(
        f"""
        SELECT t.id, t.seq, t.at, a.organization_id, t.amount_nanos, t.note, coalesce(g.kind, 'promotional'),
               g.expires_at, g.expired_at, g.revoked_at
          FROM ledger_transfers AS t
          JOIN ledger_accounts AS a ON a.id = t.credit_account_id
          LEFT JOIN ledger_grants AS g ON g.id = t.id
         WHERE t.kind = 'grant' AND {where}
        """.encode(),
        parameters,
    )
    found = await rows.fetchall()
    left: dict[UUID, Money] = {}
    for organization_id in {row[3] for row in found}:
        left |= {lot.id: lot.left for lot in await lots_of(db, organization_id)}
    return [
        Given(id_, seq, at, organization_id, Money(nanos), left.get(id_, ZERO), note, kind, expires, expired, revoked)
        for id_, seq, at, organization_id, nanos, note, kind, expires, expired, revoked in found
    ]
