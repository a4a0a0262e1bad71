"""A cardholder objects: inquiries, disputes, who wins them, and the warnings that come before."""

from datetime import timedelta
from typing import Literal, TypeAlias

from pouch.embedded.cards import store
from pouch.embedded.cards.cards import BY_NAME
from pouch.embedded.cards.charging import take_back
from pouch.embedded.cards.errors import Refusal
from pouch.embedded.cards.events import tell
from pouch.embedded.cards.movements import move
from pouch.embedded.cards.place import Desk
from pouch.embedded.cards.shapes_afterwards import show_movement
from pouch.embedded.cards.types import Charge, Dispute, FraudWarning, Metadata, Method, new_id

RESPONSE_TIME = timedelta(days=7)

Verdict: TypeAlias = Literal["won", "lost", "escalated", "closed"]
EVIDENCE: dict[str, Verdict] = {
    "winning_evidence": "won",
    "losing_evidence": "lost",
    "escalate_inquiry_evidence": "escalated",
}
"""What the bank makes of these texts at once, as in Stripe's test mode; any other is looked at and never answered."""
_OPEN = {"needs_response", "under_review"}
_INQUIRY = {"warning_needs_response", "warning_under_review"}


async def open_dispute(
    desk: Desk, charge: Charge, *, reason: str = "fraudulent", cents: int | None = None, is_inquiry: bool = False
) -> Dispute:
    """Object to a locked, paid charge. Unless it is an inquiry, the money is withdrawn at once."""
    if charge.status != "succeeded":
        raise Refusal(f"Charge {charge.id} was not paid.", param="charge")
    dispute = await store.add(
        desk.db,
        Dispute(
            id=new_id("dp"),
            created_at=desk.now,
            charge_id=charge.id,
            intent_id=charge.intent_id,
            amount_cents=cents or charge.amount_cents,
            status="warning_needs_response" if is_inquiry else "needs_response",
            reason=reason,
            due_by=desk.now + RESPONSE_TIME,
            movements=[],
            metadata={},
        ),
    )
    await store.change(desk.db, charge, is_disputed=True)
    await tell(desk, "charge.dispute.created", dispute)
    return dispute if is_inquiry else await withdraw(desk, dispute)


async def respond(
    desk: Desk, dispute: Dispute, evidence: str | None, metadata: Metadata, *, submits: bool = True
) -> Dispute:
    """Keep the evidence for a locked dispute, and send it to the bank."""
    if dispute.status not in _OPEN | _INQUIRY:
        raise Refusal(f"This dispute is already closed: {dispute.status}.", param="evidence")
    dispute = await store.change(desk.db, dispute, evidence=evidence or dispute.evidence, metadata=metadata)
    if not submits or dispute.evidence is None:
        await tell(desk, "charge.dispute.updated", dispute)
        return dispute
    status = "warning_under_review" if dispute.status in _INQUIRY else "under_review"
    dispute = await store.change(desk.db, dispute, status=status, submission_count=dispute.submission_count + 1)
    await tell(desk, "charge.dispute.updated", dispute)
    verdict = EVIDENCE.get(dispute.evidence or "")
    return await decide(desk, dispute, verdict) if verdict else dispute


async def decide(desk: Desk, dispute: Dispute, verdict: Verdict) -> Dispute:
    """Let the bank decide a locked, open dispute or inquiry."""
    if dispute.status in _INQUIRY:
        if verdict in {"escalated", "lost"}:
            dispute = await store.change(desk.db, dispute, status="needs_response")
            await tell(desk, "charge.dispute.updated", dispute)
            return await withdraw(desk, dispute)
        dispute = await store.change(desk.db, dispute, status="warning_closed")
        await tell(desk, "charge.dispute.closed", dispute)
        return dispute
    if dispute.status not in _OPEN:
        raise Refusal(f"This dispute is already closed: {dispute.status}.")
    dispute = await store.change(desk.db, dispute, status="won" if verdict == "won" else "lost")
    await tell(desk, "charge.dispute.closed", dispute)
    return await reinstate(desk, dispute) if verdict == "won" else dispute


async def withdraw(desk: Desk, dispute: Dispute) -> Dispute:
    """Take the disputed amount and the fee from the balance."""
    movement = await move(desk, "dispute", dispute.id, -dispute.amount_cents)
    dispute = await store.change(desk.db, dispute, movements=[*dispute.movements, show_movement(movement)])
    await tell(desk, "charge.dispute.funds_withdrawn", dispute)
    return dispute


async def reinstate(desk: Desk, dispute: Dispute) -> Dispute:
    """Give the disputed amount back; the fee is kept."""
    movement = await move(desk, "dispute_reversal", dispute.id, dispute.amount_cents)
    dispute = await store.change(desk.db, dispute, movements=[*dispute.movements, show_movement(movement)])
    await tell(desk, "charge.dispute.funds_reinstated", dispute)
    return dispute


async def warn(desk: Desk, charge: Charge, *, fraud_type: str = "made_with_stolen_card") -> FraudWarning:
    """Pass on a card network's warning about a charge."""
    warning = await store.add(
        desk.db,
        FraudWarning(
            id=new_id("issfr"),
            created_at=desk.now,
            charge_id=charge.id,
            intent_id=charge.intent_id,
            fraud_type=fraud_type,
            is_actionable=charge.amount_refunded_cents < charge.amount_cents and not charge.is_disputed,
        ),
    )
    await tell(desk, "radar.early_fraud_warning.created", warning)
    return warning


async def make_trouble(desk: Desk, charge_id: str) -> None:
    """Do what the bank behind a test card does a little after the payment; repeating it changes nothing."""
    charge = await store.lock(desk.db, Charge, charge_id)
    method = await store.find(desk.db, Method, charge.method_id if charge else None)
    if charge is None or method is None or charge.trouble_at is None:
        return
    charge = await store.change(desk.db, charge, trouble_at=None)
    match BY_NAME[method.card_name].trouble:
        case "warning":
            await warn(desk, charge)
        case "inquiry":
            await open_dispute(desk, charge, is_inquiry=True)
        case "fraudulent" | "product_not_received" as reason:
            await open_dispute(desk, charge, reason=reason)
        case "returned":
            await take_back(desk, charge)
        case None:
            return
