"""What the kinds of ledger lines are called on pages, and why a call cost that much."""

from pouch.base.languages import later, say
from pouch.billing.lines import Choice
from pouch.ledger.operations import TransferKind
from pouch.payments.words import Tone
from pouch.topups.types import AttemptState, RuleState
from pouch.usage.types import Call, Outcome

RULE_STATES: dict[RuleState, tuple[str, Tone]] = {
    "off": (later("Off"), ""),
    "armed": (later("On"), "good"),
    "paused": (later("Paused"), "held"),
    "suspended": (later("Stopped"), "bad"),
}

ATTEMPT_STATES: dict[AttemptState, tuple[str, Tone]] = {
    "created": (later("Under way"), "held"),
    "submitted": (later("Under way"), "held"),
    "unknown": (later("No answer yet"), "held"),
    "credited": (later("Paid"), "good"),
    "needs_action": (later("Waits for you"), "held"),
    "recovered": (later("Confirmed and paid"), "good"),
    "declined": (later("Declined"), "bad"),
    "not_tried": (later("Not tried"), ""),
}

LINE_KINDS: dict[TransferKind, str] = {
    "purchase": later("Credits bought"),
    "fee": later("Fee"),
    "tax": later("Tax"),
    "grant": later("Credits given"),
    "expiry": later("Credits expired"),
    "revoked": later("Credits taken back"),
    "inference": later("Call to a model"),
    "agents": later("Agent run"),
    "overrun": later("Call to a model"),
    "refund": later("Refund"),
    "dispute": later("Dispute"),
    "debt": later("Debt paid"),
    "adjustment": later("Correction"),
}

CHOICE_WORDS: dict[Choice, str] = {
    "calls": later("Calls to models"),
    "purchases": later("Credits bought"),
    "grants": later("Credits given"),
    "other": later("Anything else"),
}

_OUTCOMES: dict[Outcome, str] = {
    "done": "",
    "client_gone": later("stopped by the caller"),
    "cut": later("broken off by the provider"),
    "failed": later("no answer"),
}


def call_words(call: Call) -> str:
    """Why a call cost that much, such as "3,117 tokens in, 88,213 of them cached, 1,904 out"."""
    cached = call.counts.cache_read
    parts = [
        say("%(count)s tokens in", count=f"{call.counts.input_total:,}"),
        say("%(count)s out", count=f"{call.counts.output_total:,}"),
    ]
    if cached:
        parts.insert(1, say("%(count)s of them cached", count=f"{cached:,}"))
    outcome = _OUTCOMES[call.outcome]
    said = [", ".join(parts), outcome and say(outcome), say("estimated") if call.is_estimated else ""]
    return " · ".join(part for part in said if part)
