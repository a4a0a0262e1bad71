"""Money going back to a card: what is refused, what succeeds at once, and what its bank decides later."""

from pouch.embedded.cards import store
from pouch.embedded.cards.cards import BY_NAME
from pouch.embedded.cards.errors import Refusal
from pouch.embedded.cards.events import tell
from pouch.embedded.cards.movements import move
from pouch.embedded.cards.place import Desk
from pouch.embedded.cards.types import Charge, Dispute, Metadata, Method, Refund, new_id

FAILURE_REASON = "lost_or_stolen_card"
_FUNDS_GONE = ("needs_response", "under_review", "lost")


async def refund(desk: Desk, charge: Charge, cents: int | None, reason: str | None, metadata: Metadata) -> Refund:
    """Give so much of a locked charge back, or all that is left of it. Raises Refusal when that cannot be."""
    left = charge.amount_cents - charge.amount_refunded_cents
    if charge.status != "succeeded":
        raise Refusal(f"Charge {charge.id} has not been captured, so it cannot be refunded.", param="charge")
    if left == 0:
        raise Refusal(f"Charge {charge.id} has already been refunded.", code="charge_already_refunded")
    if await _is_charged_back(desk, charge):
        raise Refusal(f"Charge {charge.id} has been charged back; cannot issue a refund.", code="charge_disputed")
    amount = left if cents is None else cents
    if not 0 < amount <= left:
        raise Refusal(
            f"Refund amount (${amount / 100:.2f}) is greater than unrefunded amount on charge (${left / 100:.2f})",
            param="amount",
        )
    method = await store.find(desk.db, Method, charge.method_id)
    assert method is not None
    fate = BY_NAME[method.card_name].refunds
    refund_id = new_id("re")
    row = await store.add(
        desk.db,
        Refund(
            id=refund_id,
            created_at=desk.now,
            charge_id=charge.id,
            intent_id=charge.intent_id,
            amount_cents=amount,
            status="pending" if fate == "later" else "succeeded",
            reason=reason,
            settles_to=None if fate == "at_once" else "succeeded" if fate == "later" else "failed",
            settle_at=None if fate == "at_once" else desk.now + desk.place.settle_after,
            movement_id=(await move(desk, "refund", refund_id, -amount)).id,
            metadata=metadata,
        ),
    )
    charge = await store.change(desk.db, charge, amount_refunded_cents=charge.amount_refunded_cents + amount)
    await tell(desk, "charge.refunded", charge)
    await tell(desk, "refund.created", row)
    return row


async def settle_refund(desk: Desk, refund_id: str) -> None:
    """End a refund as its bank decides; repeating it changes nothing."""
    row = await store.find(desk.db, Refund, refund_id)
    charge = await store.lock(desk.db, Charge, row.charge_id if row else None)
    row = await store.lock(desk.db, Refund, refund_id)
    if row is None or charge is None or row.settles_to is None:
        return
    if row.settles_to == "succeeded":
        row = await store.change(desk.db, row, status="succeeded", settles_to=None, settle_at=None)
        await _tell_updated(desk, row)
        return
    await fail_refund(desk, charge, row)


async def fail_refund(desk: Desk, charge: Charge, row: Refund) -> Refund:
    """Let a refund come back: the bank could not give the money to anybody. Charge and refund are locked."""
    movement = await move(desk, "refund_failure", row.id, row.amount_cents)
    row = await store.change(
        desk.db,
        row,
        status="failed",
        failure_reason=FAILURE_REASON,
        failure_movement_id=movement.id,
        settles_to=None,
        settle_at=None,
    )
    await store.change(desk.db, charge, amount_refunded_cents=charge.amount_refunded_cents - row.amount_cents)
    await tell(desk, "refund.failed", row)
    await _tell_updated(desk, row)
    return row


async def _tell_updated(desk: Desk, row: Refund) -> None:
    await tell(desk, "refund.updated", row)
    await tell(desk, "charge.refund.updated", row)


async def _is_charged_back(desk: Desk, charge: Charge) -> bool:
    cursor = await desk.db.execute(
        f"SELECT 1 FROM {Dispute.TABLE} WHERE charge_id = %s AND status = ANY(%s)", (charge.id, list(_FUNDS_GONE))
    )
    return await cursor.fetchone() is not None
