"""What the states of purchases and the kinds of ledger lines are called on pages."""

from typing import Literal, TypeAlias

from pouch.billing.lines import Choice
from pouch.ledger.operations import TransferKind
from pouch.payments.types import PurchaseState
from pouch.usage.types import Call, Outcome

Tone: TypeAlias = Literal["", "good", "live", "held", "bad"]

PURCHASE_STATES: dict[PurchaseState, tuple[str, Tone]] = {
    "created": ("Not paid yet", ""),
    "open": ("Not paid yet", ""),
    "processing": ("Being confirmed", "held"),
    "credited": ("Paid", "good"),
    "failed": ("Failed", "bad"),
    "expired": ("Expired", ""),
    "part_refunded": ("Partly refunded", ""),
    "refunded": ("Refunded", ""),
    "disputed": ("Disputed", "bad"),
    "dispute_lost": ("Dispute lost", "bad"),
}

LINE_KINDS: dict[TransferKind, str] = {
    "purchase": "Credits bought",
    "grant": "Credits given",
    "inference": "Call to a model",
    "agents": "Agent run",
    "overrun": "Call to a model",
    "refund": "Refund",
    "dispute": "Dispute",
    "debt": "Debt paid",
    "adjustment": "Correction",
}

CHOICE_WORDS: dict[Choice, str] = {
    "calls": "Calls to models",
    "purchases": "Credits bought",
    "grants": "Credits given",
    "other": "Anything else",
}

_OUTCOMES: dict[Outcome, str] = {
    "done": "",
    "client_gone": "stopped by the caller",
    "cut": "broken off by the provider",
    "failed": "no answer",
}


def call_words(call: Call) -> str:
    """Why a call cost that much, such as "3,117 tokens in, 88,213 of them cached, 1,904 out"."""
    cached = call.counts.cache_read
    parts = [f"{call.counts.input_total:,} tokens in", f"{call.counts.output_total:,} out"]
    if cached:
        parts.insert(1, f"{cached:,} of them cached")
    said = [", ".join(parts), _OUTCOMES[call.outcome], "estimated" if call.is_estimated else ""]
    return " · ".join(part for part in said if part)
