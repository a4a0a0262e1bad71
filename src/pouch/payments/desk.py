"""What the operator looks through: everybody's purchases, what needs a person, and the history of one purchase."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.ids import read_id
from pouch.base.money import Money
from pouch.payments import purchases
from pouch.payments.types import Purchase, PurchaseState


@dataclass(frozen=True, slots=True)
class Counts:
    """How many things need a person, and what came lately."""

    bought_today: Money
    purchases_today: int
    under_way: int
    quarantined: int
    refunds_open: int
    refunds_unknown: int
    disputes_open: int
    events_waiting: int
    events_flagged: int


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event that the processor sent, and what became of it."""

    stripe_id: str
    type: str
    object_id: str
    occurred_at: datetime
    received_at: datetime
    state: str
    note: str
    error: str


async def counts(db: Connection) -> Counts:
    """How things are."""
    rows = await db.execute(
        """
        SELECT (SELECT coalesce(sum(amount_nanos), 0)::bigint FROM payment_purchases
                 WHERE credited_at >= date_trunc('day', now(), 'UTC')),
               (SELECT count(*) FROM payment_purchases WHERE credited_at >= date_trunc('day', now(), 'UTC')),
               (SELECT count(*) FROM payment_purchases WHERE state = 'processing'),
               (SELECT count(*) FROM payment_purchases WHERE quarantine <> ''),
               (SELECT count(*) FROM payment_refunds WHERE state IN ('created', 'pending', 'unknown')),
               (SELECT count(*) FROM payment_refunds WHERE state = 'unknown'),
               (SELECT count(*) FROM payment_disputes WHERE closed_at IS NULL),
               (SELECT count(*) FROM payment_events WHERE state = 'waiting'),
               (SELECT count(*) FROM payment_events WHERE state = 'flagged')
        """
    )
    row = await rows.fetchone()
    assert row is not None
    return Counts(Money(row[0]), *row[1:])


async def search(
    db: Connection, text: str, state: PurchaseState | None, *, before: UUID | None = None, limit: int = 50
) -> list[Purchase]:
    """Purchases, newest first. `text`: part of an address, an id of ours or the processor's, or a receipt number."""
    text = text.strip().replace("\x00", "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None
    like = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    return await purchases.find_all(
        db,
        """
        (%(text)s = '' OR email ILIKE %(like)s OR id = %(id)s OR organization_id = %(organization)s
         OR number = %(number)s OR payment_id = %(text)s OR session_id = %(text)s
         OR id IN (SELECT purchase_id FROM payment_refunds WHERE stripe_id = %(text)s OR id = %(refund)s)
         OR id IN (SELECT purchase_id FROM payment_disputes WHERE stripe_id = %(text)s))
        AND state = coalesce(%(state)s, state) AND (%(before)s::uuid IS NULL OR id < %(before)s)
        """,
        {
            "text": text,
            "like": like,
            "id": read_id("pur", text),
            "organization": read_id("org", text),
            "refund": read_id("ref", text),
            "number": number,
            "state": state,
            "before": before,
        },
        limit,
    )


async def quarantined(db: Connection, limit: int = 100) -> list[Purchase]:
    """Purchases that do not agree with what the processor says, newest first."""
    return await purchases.find_all(db, "quarantine <> ''", {}, limit)


async def events_about(db: Connection, object_ids: list[str]) -> list[StoredEvent]:
    """What the processor sent about these objects, oldest first."""
    rows = await db.execute(
        f"SELECT {_EVENT} FROM payment_events WHERE object_id = ANY(%s) ORDER BY occurred_at, received_at LIMIT 200",
        (object_ids,),
    )
    return [StoredEvent(*row) for row in await rows.fetchall()]


async def flagged_events(db: Connection, limit: int = 100) -> list[StoredEvent]:
    """Events about nothing we know, and those that could not be acted on, newest first."""
    rows = await db.execute(
        f"SELECT {_EVENT} FROM payment_events WHERE state = 'flagged' ORDER BY received_at DESC LIMIT %s", (limit,)
    )
    return [StoredEvent(*row) for row in await rows.fetchall()]


_EVENT = "stripe_id, type, object_id, occurred_at, received_at, state, note, error"
