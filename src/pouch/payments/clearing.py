"""The clearing account, tied to the processor's balance transactions: fees, refunds and payouts are posted from them.

In words. A purchase, a dispute and its end post to `stripe_clearing` when they are settled; a refund goes to
`refund_clearing`. Each balance transaction then posts what only it knows, under its own id: the fee to `stripe_fees`, a
refund out of `refund_clearing`, a payout to `bank`. So for each purchase, what our clearing account says must be the
sum of its balance transactions, to the cent. An account that settles in another currency than US dollars cannot be
tied: its balance transactions are written down, never posted nor compared, and that is said once.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.money import ZERO, Money
from pouch.ledger.history import moved_by
from pouch.ledger.operations import Operation, SystemAccount, Transfer
from pouch.ledger.posting import post
from pouch.payments import purchases
from pouch.payments.checks import Found
from pouch.payments.objects import MovementObject
from pouch.payments.types import Mode

SETTLES_WITHIN = timedelta(hours=1)
"""A balance transaction is there within this time, else its absence is a difference."""


_FEE: tuple[SystemAccount, SystemAccount] = ("stripe_fees", "stripe_clearing")


async def note_movements(db: Connection, mode: Mode, found: Sequence[MovementObject]) -> int:
    """Write the balance transactions down and post what they say. Repeating it posts nothing more.

    One that was there before its purchase was credited is posted once it is. Returns how many had something new.
    """
    ours = await purchases.find_by_payments(db, [each.payment_id for each in found if each.payment_id])
    new = 0
    for each in reversed(found):
        purchase = ours.get(each.payment_id or "")
        written = await db.execute(
            """
            INSERT INTO payment_movements
                   (id, mode, type, category, source_id, purchase_id, amount_nanos, fee_nanos, moved_at, currency)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (id) DO UPDATE SET purchase_id = excluded.purchase_id
             WHERE payment_movements.purchase_id IS NULL AND excluded.purchase_id IS NOT NULL
            """,
            (
                each.id,
                mode,
                each.type,
                each.reporting_category,
                each.source_id,
                purchase.id if purchase else None,
                Money.from_cents(each.amount).nanos,
                Money.from_cents(each.fee).nanos,
                datetime.fromtimestamp(each.created, UTC),
                each.currency,
            ),
        )
        if written.rowcount == 1:
            new += 1
            operations = _postings(each, purchase.id if purchase else None)
            # What is not in dollars is no dollars: to post it, it would have to be converted.
            if operations and each.is_dollars:
                await post(db, operations)
    return new


def _postings(each: MovementObject, purchase_id: UUID | None) -> list[Operation]:
    amount, key = Money.from_cents(abs(each.amount)).nanos, f"txn:{each.id}"
    operations: list[Operation] = []
    if purchase_id is not None and each.fee:
        fee = Money.from_cents(abs(each.fee)).nanos
        # A fee that is given back, as after a dispute that was won, is negative.
        debit, credit = _FEE if each.fee > 0 else _FEE[::-1]
        operations.append(Transfer(f"{key}:fee", debit, credit, fee, "adjustment", cause=purchase_id))
    match each.reporting_category:
        case "refund" if purchase_id is not None:
            operations.append(Transfer(key, "refund_clearing", "stripe_clearing", amount, "refund", cause=purchase_id))
        case "refund_failure" if purchase_id is not None:
            operations.append(Transfer(key, "stripe_clearing", "refund_clearing", amount, "refund", cause=purchase_id))
        case "payout":
            operations.append(Transfer(key, "bank", "stripe_clearing", amount, "adjustment"))
        case "payout_reversal":
            operations.append(Transfer(key, "stripe_clearing", "bank", amount, "adjustment"))
        case _:
            pass
    return operations


def foreign(found: Sequence[MovementObject]) -> list[Found]:
    """One difference for each currency that is not ours, in which the account settles what was paid."""
    return [
        Found(
            "clearing",
            f"currency:{currency}",
            f"The account at the card processor settles in {currency.upper()}, and the books are in US dollars: fees, "
            "payouts and clearing of what was settled so are neither posted nor compared.",
        )
        for currency in sorted({each.currency for each in found if not each.is_dollars and each.payment_id})
    ]


async def new_of(db: Connection, mode: Mode, found: Sequence[MovementObject]) -> list[MovementObject]:
    """Those that are not written down yet, or were before their purchase was known; oldest first."""
    rows = await db.execute(
        "SELECT id FROM payment_movements WHERE mode = %s AND id = ANY(%s) AND purchase_id IS NOT NULL",
        (mode, [each.id for each in found]),
    )
    known = {movement_id for (movement_id,) in await rows.fetchall()}
    return [each for each in reversed(found) if each.id not in known]


async def untied(db: Connection, mode: Mode, since: datetime) -> list[Found]:
    """The purchases whose clearing is not what the processor's balance transactions say.

    Looked at are those that were credited, or of which something moved there or went back here, since then.
    """
    rows = await db.execute(
        """
        SELECT p.id, p.payment_id, coalesce(m.total, 0)
          FROM payment_purchases AS p
          LEFT JOIN (SELECT purchase_id, sum(amount_nanos - fee_nanos)::bigint AS total
                       FROM payment_movements GROUP BY purchase_id) AS m ON m.purchase_id = p.id
         WHERE p.mode = %(mode)s AND p.credited_at < now() - %(settles)s
           AND NOT EXISTS (SELECT FROM payment_movements AS f WHERE f.purchase_id = p.id AND f.currency <> 'usd')
           AND (p.credited_at >= %(since)s
                OR p.id IN (SELECT purchase_id FROM payment_movements WHERE moved_at >= %(since)s
                            UNION SELECT purchase_id FROM payment_refunds
                                   WHERE posted_at >= %(since)s OR returned_at >= %(since)s
                            UNION SELECT purchase_id FROM payment_disputes
                                   WHERE opened_at >= %(since)s OR closed_at >= %(since)s))
           AND NOT EXISTS (SELECT FROM payment_disputes AS d
                            WHERE d.purchase_id = p.id AND d.closed_at >= now() - %(settles)s)
           AND NOT EXISTS (SELECT FROM payment_refunds AS r
                            WHERE r.purchase_id = p.id AND r.source = 'failure' AND r.posted_at >= now() - %(settles)s)
        """,
        {"mode": mode, "since": since, "settles": SETTLES_WITHIN},
    )
    expected = {purchase_id: (payment_id, Money(total)) for purchase_id, payment_id, total in await rows.fetchall()}
    moved = await moved_by(db, "stripe_clearing", list(expected))
    found: list[Found] = []
    for purchase_id, (payment_id, total) in expected.items():
        # What reaches the processor's account is a debit of ours.
        ours = ZERO - moved.get(purchase_id, ZERO)
        if ours != total:
            what = f"Our clearing says {ours}, the balance transactions of {payment_id} come to {total}."
            found.append(Found("clearing", str(payment_id), what, purchase_id))
    return found
