"""What may become of a charge, as Stripe's JSON objects: refunds, disputes, warnings, balance transactions."""

from datetime import datetime, timedelta

from pouch.embedded.cards.types import CURRENCY, Dispute, FraudWarning, Json, Movement, Refund, Row

AVAILABLE_AFTER = timedelta(days=2)
_WARNINGS = {"warning_needs_response", "warning_under_review", "warning_closed"}


def seconds(at: datetime | None) -> int | None:
    """A time as Stripe writes it."""
    return None if at is None else int(at.timestamp())


def show_afterwards(row: Row) -> Json:
    """Any of these rows as its Stripe object, with references as ids."""
    match row:
        case Refund():
            return show_refund(row)
        case Dispute():
            return show_dispute(row)
        case FraudWarning():
            return show_warning(row)
        case Movement():
            return show_movement(row)
        case _:
            raise AssertionError(f"{type(row).__name__} has no shape")


def show_refund(refund: Refund) -> Json:
    """A refund."""
    shown: Json = {
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount_cents,
        "balance_transaction": refund.movement_id,
        "charge": refund.charge_id,
        "created": seconds(refund.created_at),
        "currency": CURRENCY,
        "metadata": refund.metadata,
        "payment_intent": refund.intent_id,
        "reason": refund.reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": refund.status,
        "transfer_reversal": None,
    }
    if refund.failure_reason is not None:
        shown |= {"failure_reason": refund.failure_reason, "failure_balance_transaction": refund.failure_movement_id}
    return shown


def show_dispute(dispute: Dispute) -> Json:
    """A dispute. Its balance transactions say what was withdrawn and reinstated, whatever its status."""
    return {
        "id": dispute.id,
        "object": "dispute",
        "amount": dispute.amount_cents,
        "balance_transactions": dispute.movements,
        "charge": dispute.charge_id,
        "created": seconds(dispute.created_at),
        "currency": CURRENCY,
        "enhanced_eligibility_types": [],
        "evidence": {"uncategorized_text": dispute.evidence},
        "evidence_details": {
            "due_by": seconds(dispute.due_by),
            "has_evidence": dispute.evidence is not None,
            "past_due": False,
            "submission_count": dispute.submission_count,
        },
        "is_charge_refundable": dispute.status in _WARNINGS,
        "livemode": False,
        "metadata": dispute.metadata,
        "payment_intent": dispute.intent_id,
        "reason": dispute.reason,
        "status": dispute.status,
    }


def show_warning(warning: FraudWarning) -> Json:
    """An early fraud warning."""
    return {
        "id": warning.id,
        "object": "radar.early_fraud_warning",
        "actionable": warning.is_actionable,
        "charge": warning.charge_id,
        "created": seconds(warning.created_at),
        "fraud_type": warning.fraud_type,
        "livemode": False,
        "payment_intent": warning.intent_id,
    }


def show_movement(movement: Movement) -> Json:
    """A balance transaction. What this processor moves is available two days later, as in the United States."""
    available = movement.created_at + AVAILABLE_AFTER
    fee: Json = {
        "amount": movement.fee_cents,
        "application": None,
        "currency": CURRENCY,
        "description": "Processing fee",
        "type": "stripe_fee",
    }
    return {
        "id": movement.id,
        "object": "balance_transaction",
        "amount": movement.amount_cents,
        "available_on": seconds(available),
        "created": seconds(movement.created_at),
        "currency": CURRENCY,
        "description": movement.description,
        "exchange_rate": None,
        "fee": movement.fee_cents,
        "fee_details": [fee] if movement.fee_cents else [],
        "net": movement.amount_cents - movement.fee_cents,
        "reporting_category": movement.category,
        "source": movement.source_id,
        "status": "pending",
        "type": movement.type,
    }
