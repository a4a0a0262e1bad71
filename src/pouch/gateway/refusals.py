"""How a refusal of the ledger is said to a caller: 402 with the reason, the amounts, and where to buy."""

from pouch.base.money import Money
from pouch.gateway.affordable import affordable_tokens
from pouch.gateway.errors import BadKey, CallError, NoCredits
from pouch.gateway.request import ChatRequest
from pouch.ledger.operations import RefusalSource, Refused

_WHOSE: dict[RefusalSource, str] = {
    "credits": "your credits",
    "key_limit": "the limit of this key or signed-in program",
    "member_limit": "your limit in this organization",
    "organization_limit": "this organization's limit",
    "run_limit": "this run's cap",
    "task_limit": "what one task may spend here",
}
HOLDS_RETRY_AFTER_S = 2
TOP_UP_RETRY_AFTER_S = 10


def refusal_error(refused: Refused, request: ChatRequest, billing_url: str) -> CallError:
    """Say why a call is not admitted. A blocked key is a bad key: it was revoked a moment ago."""
    if refused.source == "blocked":
        return BadKey("This API key or session was revoked.")
    needed, available = Money(refused.needed_nanos), Money(refused.available_nanos)
    metadata: dict[str, object] = {
        "limit_source": refused.source,
        "required_usd": needed.decimal(),
        "available_usd": available.decimal(),
        "affordable_tokens": affordable_tokens(request, refused.available_nanos),
        "topup_url": billing_url,
        "auto_topup": refused.top_up,
    }
    if refused.source == "debt":
        message = f"Paid calls are stopped until what is owed is paid: {billing_url}"
    elif refused.awaits_top_up:
        message = (
            f"This call may cost up to {needed} and {available} of your credits is left. An auto top-up is under "
            f"way and has not come yet. Try again in a moment, or look at it: {billing_url}"
        )
    elif refused.may_wait:
        message = (
            f"This call may cost up to {needed} and {available} of {_WHOSE[refused.source]} is free right now; "
            f"the rest is held by calls in progress. Try again in a moment, or buy credits: {billing_url}"
        )
    else:
        remedy = f"Buy credits: {billing_url}" if refused.source == "credits" else f"See {billing_url}"
        message = f"This call may cost up to {needed} and {available} of {_WHOSE[refused.source]} is left. {remedy}"
    return NoCredits(message, metadata=metadata, retry_after_s=_retry_after_s(refused))


def _retry_after_s(refused: Refused) -> int | None:
    if refused.awaits_top_up:
        return TOP_UP_RETRY_AFTER_S
    return HOLDS_RETRY_AFTER_S if refused.may_wait else None
