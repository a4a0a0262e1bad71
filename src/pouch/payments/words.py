"""What the states of purchases, refunds and disputes are called on pages, and how each looks."""

from typing import Literal, TypeAlias

from pouch.base.languages import later
from pouch.payments.disputes import Dispute
from pouch.payments.refunds import RefundState
from pouch.payments.types import PurchaseState

Tone: TypeAlias = Literal["", "good", "live", "held", "bad"]

PURCHASE_STATES: dict[PurchaseState, tuple[str, Tone]] = {
    "created": (later("Not paid yet"), ""),
    "open": (later("Not paid yet"), ""),
    "processing": (later("Being confirmed"), "held"),
    "credited": (later("Paid"), "good"),
    "failed": (later("Failed"), "bad"),
    "expired": (later("Expired"), ""),
    "part_refunded": (later("Partly refunded"), ""),
    "refunded": (later("Refunded"), ""),
    "disputed": (later("Disputed"), "bad"),
    "dispute_lost": (later("Dispute lost"), "bad"),
}

REFUND_STATES: dict[RefundState, tuple[str, Tone]] = {
    "created": (later("Being sent"), "held"),
    "unknown": (later("Being looked up"), "held"),
    "pending": (later("On its way"), "live"),
    "succeeded": (later("Refunded"), "good"),
    "failed": (later("Failed"), "bad"),
}

_DISPUTE_STATES: dict[str, tuple[str, Tone]] = {
    "warning_needs_response": (later("Inquiry"), "held"),
    "warning_under_review": (later("Inquiry answered"), "live"),
    "warning_closed": (later("Inquiry closed"), ""),
    "needs_response": (later("Needs an answer"), "bad"),
    "under_review": (later("The bank decides"), "live"),
    "won": (later("Won"), "good"),
    "lost": (later("Lost"), "bad"),
    "prevented": (later("Prevented"), ""),
}


def dispute_words(dispute: Dispute) -> tuple[str, Tone]:
    """A dispute's state in a word or two."""
    return _DISPUTE_STATES.get(dispute.status, (dispute.status.replace("_", " ").capitalize(), ""))
