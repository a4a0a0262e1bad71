"""The rows of purchases. States move by compare-and-set only."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import DictRow, dict_row

from pouch.base.database import Connection
from pouch.base.errors import NotFound
from pouch.base.ids import new_id
from pouch.base.languages import say
from pouch.base.money import ZERO, Money
from pouch.jobs.claims import DUE_ROWS_MAX, ERROR_CHARACTERS_MAX, Claim
from pouch.payments.customers import find_customer
from pouch.payments.types import Card, Mode, Order, Payment, Purchase, PurchaseState, Session

TABLE = "payment_purchases"

_COLUMNS = """
id, number, organization_id, person_id, email, attempt, mode, state, amount_nanos, fee_nanos, tax_mode, tax_nanos,
tax_name, created_at, session_expires_at, session_id, session_url, payment_id, card_brand, card_last4, credited_at,
reason, quarantine, kind, saves_card, method_id, fee_comes_back, customer
"""


async def list_purchases(
    db: Connection, organization_id: UUID, limit: int = 100, *, before: UUID | None = None
) -> list[Purchase]:
    """An organization's purchases, newest first, the unpaid ones among them; with `before`, those older than it."""
    if before is None:
        return await _read(db, "WHERE organization_id = %s ORDER BY id DESC LIMIT %s", organization_id, limit)
    where = "WHERE organization_id = %s AND id < %s ORDER BY id DESC LIMIT %s"
    return await _read(db, where, organization_id, before, limit)


async def find_purchase(db: Connection, organization_id: UUID, purchase_id: UUID) -> Purchase | None:
    """One purchase of this organization. None for everybody else's."""
    return await _read_one(db, "WHERE organization_id = %s AND id = %s", organization_id, purchase_id)


async def list_waiting(db: Connection, organization_id: UUID) -> list[Purchase]:
    """The purchases that may still be paid or confirmed, newest first: whoever buys again should see them before."""
    return await _read(
        db,
        """
        WHERE organization_id = %s
          AND (state = 'processing' OR state IN ('created', 'open') AND (session_expires_at > now() OR kind = 'top_up'))
        ORDER BY id DESC LIMIT 20
        """,
        organization_id,
    )


async def newest_states(
    db: Connection, organization_ids: Sequence[UUID], limit: int
) -> dict[UUID, list[tuple[UUID, PurchaseState]]]:
    """The newest purchases of each organization and their states, newest first."""
    rows = await db.execute(
        """
        SELECT o.id, p.id, p.state FROM unnest(%s::uuid[]) AS o (id)
         CROSS JOIN LATERAL (SELECT id, state FROM payment_purchases WHERE organization_id = o.id
                              ORDER BY id DESC LIMIT %s) AS p
         ORDER BY o.id, p.id DESC
        """,
        (list(organization_ids), limit),
    )
    found: dict[UUID, list[tuple[UUID, PurchaseState]]] = {}
    for organization_id, purchase_id, state in await rows.fetchall():
        found.setdefault(organization_id, []).append((purchase_id, state))
    return found


async def pending_total(db: Connection, organization_id: UUID) -> Money:
    """What was paid by a method that takes days and is not confirmed yet."""
    rows = await db.execute(
        "SELECT sum(amount_nanos)::bigint FROM payment_purchases WHERE organization_id = %s AND state = 'processing'",
        (organization_id,),
    )
    row = await rows.fetchone()
    return Money(row[0]) if row is not None and row[0] is not None else ZERO


async def get_purchase(db: Connection, purchase_id: UUID) -> Purchase:
    """A purchase of whichever organization, for jobs. Raises NotFound."""
    return _known(await _read_one(db, "WHERE id = %s", purchase_id))


async def lock_purchase(db: Connection, purchase_id: UUID) -> Purchase:
    """The purchase, locked until the transaction ends. Raises NotFound."""
    return _known(await _read_one(db, "WHERE id = %s FOR NO KEY UPDATE", purchase_id))


async def add_purchase(db: Connection, order: Order, mode: Mode, life_s: int) -> Purchase:
    """The purchase of this attempt: a new one, or the one that the same attempt made before, whatever its amount.

    Fee and tax are those of the order, and stay, whatever the operator changes while it is paid.
    """
    await db.execute(
        """
        INSERT INTO payment_purchases
            (id, organization_id, person_id, email, attempt, amount_nanos, saves_card, fee_nanos, tax_mode, tax_nanos,
             tax_name, fee_comes_back, mode, session_expires_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
                date_trunc('second', now()) + make_interval(secs => %s))
        ON CONFLICT ON CONSTRAINT payment_purchases_attempt DO NOTHING
        """,
        (
            new_id(),
            order.organization_id,
            order.person_id,
            order.email,
            order.attempt,
            order.amount.nanos,
            order.saves_card,
            order.fee.nanos,
            order.tax_mode,
            None if order.tax is None else order.tax.nanos,
            order.tax_name,
            order.fee_comes_back,
            mode,
            life_s,
        ),
    )
    return _known(
        await _read_one(db, "WHERE organization_id = %s AND attempt = %s", order.organization_id, order.attempt)
    )


async def count_unpaid(db: Connection, organization_id: UUID, *, but_for: str) -> int:
    """How many other purchases the organization began within the last hour and has not paid."""
    rows = await db.execute(
        """
        SELECT count(*) FROM payment_purchases
         WHERE organization_id = %s AND attempt <> %s AND created_at > now() - interval '1 hour' AND credited_at IS NULL
        """,
        (organization_id, but_for),
    )
    ((count,),) = await rows.fetchall()
    return int(count)


async def add_top_up(db: Connection, purchase_id: UUID, order: Order, card: Card) -> None:
    """Write down that a saved card is to be charged. The id is the top-up attempt's, and the key of the charge.

    No job of this room looks after it: the attempt's own does.
    """
    await db.execute(
        """
        INSERT INTO payment_purchases
            (id, organization_id, person_id, email, attempt, amount_nanos, fee_nanos, tax_mode, tax_nanos, tax_name,
             fee_comes_back, mode, kind, method_id, session_expires_at, card_brand, card_last4, due_at, customer)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'top_up', %s, now(), %s, %s, NULL, %s)
        """,
        (
            purchase_id,
            order.organization_id,
            order.person_id,
            order.email,
            order.attempt,
            order.amount.nanos,
            order.fee.nanos,
            order.tax_mode,
            None if order.tax is None else order.tax.nanos,
            order.tax_name,
            order.fee_comes_back,
            card.mode,
            card.stripe_id,
            card.brand,
            card.last4,
            await find_customer(db, order.organization_id, card.mode),
        ),
    )


async def note_customer(db: Connection, purchase_id: UUID, customer: str) -> None:
    """Remember with which customer the payment page is made, before it is asked for."""
    await db.execute(
        "UPDATE payment_purchases SET customer = %s WHERE id = %s AND state = 'created'", (customer, purchase_id)
    )


async def customer_of(db: Connection, purchase: Purchase) -> str | None:
    """With which customer a purchase was made, also after the organization got another one."""
    return purchase.customer or await find_customer(db, purchase.organization_id, purchase.mode)


async def note_payment(db: Connection, purchase_id: UUID, payment_id: str) -> None:
    """Remember which payment was made for a top-up. The first one stays."""
    await db.execute(
        "UPDATE payment_purchases SET payment_id = %s WHERE id = %s AND kind = 'top_up' AND payment_id IS NULL",
        (payment_id, purchase_id),
    )


async def find_attempt(db: Connection, organization_id: UUID, attempt: str) -> Purchase | None:
    """The purchase that an attempt began."""
    return await _read_one(db, "WHERE organization_id = %s AND attempt = %s", organization_id, attempt)


async def mark_open(db: Connection, purchase_id: UUID, session: Session) -> bool:
    """Move `created` to `open`, with the session that was made for it. False when it was not `created` any more."""
    moved = await db.execute(
        """
        UPDATE payment_purchases
           SET state = 'open', session_id = %s, session_url = %s
         WHERE id = %s AND state = 'created'
        """,
        (session.id, session.url, purchase_id),
    )
    return moved.rowcount == 1


async def mark_credited(
    db: Connection, purchase_id: UUID, session_id: str | None, payment: Payment, *, tax: Money = ZERO
) -> bool:
    """Move an unpaid purchase to `credited`, with the tax that was paid. False when it was credited before.

    This is the first guard against a second credit; the ledger's key is the other.
    """
    brand, last4 = payment.method
    moved = await db.execute(
        """
        UPDATE payment_purchases
           SET state = 'credited', credited_at = now(), payment_id = %s, session_id = %s, tax_nanos = %s,
               card_brand = %s, card_last4 = %s, reason = '', quarantine = '', due_at = NULL, lease_until = NULL
         WHERE id = %s AND state IN ('created', 'open', 'processing', 'failed', 'expired')
        """,
        (payment.id, session_id, tax.nanos, brand, last4, purchase_id),
    )
    return moved.rowcount == 1


async def move(
    db: Connection, purchase_id: UUID, to: PurchaseState, *, since: Collection[PurchaseState], reason: str = ""
) -> bool:
    """Move the state if it is one of `since`. False when it is not, and then nothing changes."""
    moved = await db.execute(
        """
        UPDATE payment_purchases
           SET state = %(to)s, reason = %(reason)s,
               due_at = CASE WHEN %(to)s IN ('failed', 'expired') THEN NULL ELSE due_at END
         WHERE id = %(id)s AND state = ANY(%(since)s)
        """,
        {"to": to, "reason": reason, "id": purchase_id, "since": list(since)},
    )
    return moved.rowcount == 1


async def find_by_payment(db: Connection, payment_id: str) -> Purchase | None:
    """The purchase that a payment paid, once it is credited."""
    return await _read_one(db, "WHERE payment_id = %s", payment_id)


async def find_by_payments(db: Connection, payment_ids: Sequence[str]) -> dict[str, Purchase]:
    """The purchases that these payments paid, by payment."""
    found = await _read(db, "WHERE payment_id = ANY(%s)", list(payment_ids))
    return {purchase.payment_id: purchase for purchase in found if purchase.payment_id is not None}


async def credited_since(db: Connection, mode: Mode, since: datetime) -> list[Purchase]:
    """Everything that was credited since then."""
    return await _read(db, "WHERE mode = %s AND credited_at >= %s ORDER BY credited_at", mode, since)


async def unanswered(db: Connection, mode: Mode, within: timedelta) -> list[Purchase]:
    """The top-ups that were wanted longer ago than that, and of which nobody knows whether they were charged."""
    where = """
        WHERE kind = 'top_up' AND state = 'created' AND quarantine = '' AND mode = %s AND created_at < now() - %s
        ORDER BY id LIMIT 100
    """
    return await _read(db, where, mode, within)


async def unended(db: Connection, organization_id: UUID) -> list[Purchase]:
    """The purchases whose payment page is open, or may be."""
    return await _read(
        db,
        "WHERE organization_id = %s AND kind = 'checkout' AND state IN ('created', 'open') AND quarantine = ''",
        organization_id,
    )


async def credited_after(db: Connection, organization_id: UUID, mode: Mode, since: datetime) -> list[Purchase]:
    """What an organization paid after that, and has not had back."""
    where = "WHERE organization_id = %s AND mode = %s AND credited_at > %s AND state IN ('credited', 'part_refunded')"
    return await _read(db, where, organization_id, mode, since)


async def find_all(db: Connection, where: str, values: Mapping[str, object], limit: int) -> list[Purchase]:
    """Everybody's purchases that meet a condition of ours, newest first."""
    cursor = db.cursor(row_factory=dict_row)
    rows = await cursor.execute(
        f"SELECT {_COLUMNS} FROM payment_purchases WHERE {where} ORDER BY id DESC LIMIT %(limit)s",
        {**values, "limit": limit},
    )
    return [_purchase(row) for row in await rows.fetchall()]


async def mark_afterwards(db: Connection, purchase_id: UUID, state: PurchaseState) -> bool:
    """Say what became of a credited purchase. False when it was not credited, or says so already."""
    moved = await db.execute(
        """
        UPDATE payment_purchases SET state = %(state)s
         WHERE id = %(id)s AND state <> %(state)s
           AND state IN ('credited', 'part_refunded', 'refunded', 'disputed', 'dispute_lost')
        """,
        {"state": state, "id": purchase_id},
    )
    return moved.rowcount == 1


async def quarantine(db: Connection, purchase_id: UUID, reason: str) -> bool:
    """Set an unpaid purchase aside for the operator; jobs leave it alone. False when it was set aside before."""
    moved = await db.execute(
        """
        UPDATE payment_purchases
           SET quarantine = %s, due_at = NULL
         WHERE id = %s AND quarantine = '' AND state IN ('created', 'open', 'processing', 'failed', 'expired')
        """,
        (reason, purchase_id),
    )
    return moved.rowcount == 1


async def expire_unopened(db: Connection, purchase_id: UUID, left_s_min: float) -> bool:
    """Move `created` to `expired` when fewer than `left_s_min` seconds of its session's time are left; False otherwise.

    Nobody was given a payment page, so nobody can have paid.
    """
    moved = await db.execute(
        """
        UPDATE payment_purchases
           SET state = 'expired', due_at = NULL
         WHERE id = %s AND state = 'created' AND session_expires_at < now() + make_interval(secs => %s)
        """,
        (purchase_id, left_s_min),
    )
    return moved.rowcount == 1


async def due(db: Connection, mode: Mode) -> list[UUID]:
    """The purchases that nobody has looked at for long enough, longest due first."""
    rows = await db.execute(
        """
        SELECT id FROM payment_purchases
         WHERE due_at <= now() AND (lease_until IS NULL OR lease_until < now()) AND mode = %s
         ORDER BY due_at LIMIT %s
        """,
        (mode, DUE_ROWS_MAX),
    )
    return [purchase_id for (purchase_id,) in await rows.fetchall()]


async def come_back(db: Connection, held: Claim, error: str) -> None:
    """Be due again after as long as it has waited so far, 2 to 30 minutes; never again once nothing can come of it.

    After a month nobody asks any more: the slowest ways to pay take two weeks, and an event still finds it.
    """
    await db.execute(
        """
        UPDATE payment_purchases
           SET due_at = CASE
                   WHEN state IN ('created', 'open', 'processing') AND quarantine = ''
                        AND created_at > now() - interval '30 days'
                   THEN now() + least(greatest(now() - created_at, interval '2 minutes'), interval '30 minutes')
               END,
               lease_until = NULL,
               error = %s
         WHERE id = %s AND epoch = %s AND lease_until IS NOT NULL
        """,
        (error.replace("\x00", "")[:ERROR_CHARACTERS_MAX], held.row_id, held.epoch),
    )


async def _read(db: Connection, where: str, *values: object) -> list[Purchase]:
    cursor = db.cursor(row_factory=dict_row)
    rows = await cursor.execute(f"SELECT {_COLUMNS} FROM payment_purchases {where}", values)
    return [_purchase(row) for row in await rows.fetchall()]


async def _read_one(db: Connection, where: str, *values: object) -> Purchase | None:
    return next(iter(await _read(db, where, *values)), None)


def _purchase(row: DictRow) -> Purchase:
    tax = row.pop("tax_nanos")
    return Purchase(
        amount=Money(row.pop("amount_nanos")),
        fee=Money(row.pop("fee_nanos")),
        tax=None if tax is None else Money(tax),
        **row,
    )


def _known(purchase: Purchase | None) -> Purchase:
    if purchase is None:
        raise NotFound(say("There is no such purchase."))
    return purchase
