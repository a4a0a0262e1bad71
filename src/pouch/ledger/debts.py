"""Debts that can be paid: nobody owes something while credits lie beside it.

A reversal takes what is available at its moment. What calls had set aside then may come back later, and credits may be
given; both pay the debt, so that who has credits can go on.
"""

from uuid import UUID

from pouch.base.database import Connection
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.ledger.operations import Posted, Receivable, Transfer
from pouch.ledger.posting import post_batch

BATCH = 200
_CAN_PAY = """
SELECT c.organization_id, least(c.balance_nanos - c.held_nanos, -r.balance_nanos)
  FROM ledger_accounts AS r
  JOIN ledger_accounts AS c ON c.organization_id = r.organization_id AND c.kind = 'customer'
 WHERE r.kind = 'receivable' AND r.balance_nanos < 0 AND c.balance_nanos > c.held_nanos
   AND (%(of)s::uuid[] IS NULL OR c.organization_id = ANY(%(of)s))
 ORDER BY c.id LIMIT %(limit)s
"""


async def collect_debts(db: Connection) -> dict[UUID, Money]:
    """Pay debts out of what is available. Returns who paid how much; repeating it pays nothing twice."""
    rows = await db.execute(_CAN_PAY.encode(), {"of": None, "limit": BATCH})
    candidates = [organization_id for organization_id, _ in await rows.fetchall()]
    if not candidates:
        return {}
    # Locked as every posting locks them, and read again: what was seen before may be paid by now.
    await db.execute(
        "SELECT 1 FROM ledger_accounts WHERE organization_id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", (candidates,)
    )
    rows = await db.execute(_CAN_PAY.encode(), {"of": candidates, "limit": BATCH})
    note = "Paid what was owed"
    wanted = [
        Transfer(f"debt:{new_id()}", organization_id, Receivable(organization_id), amount, "debt", note=note)
        for organization_id, amount in await rows.fetchall()
    ]
    answers = await post_batch(db, wanted) if wanted else []
    return {
        transfer.credit.organization_id: Money(transfer.amount_nanos)
        for transfer, answer in zip(wanted, answers, strict=True)
        if isinstance(answer, Posted) and isinstance(transfer.credit, Receivable)
    }
