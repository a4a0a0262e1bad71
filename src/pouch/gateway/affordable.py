"""When a call does not fit the credits or a limit: a shorter answer that does.

Rule. Once nothing more can be waited for, `max_tokens` is lowered to the most that fits what the budget has available,
but never below 1,024, nor below what was asked for if that is less: an answer so short helps nobody, and the call is
refused with 402. The hold is that of the lowered call, so it bounds the cost as any other; the caller is told in a
header and in the usage, and the answer ends with the finish reason `length` where it would have been longer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

from pouch.gateway.request import ChatRequest

LEAST_TOKENS = 1_024
_BOUNDS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True, slots=True)
class Lowered:
    """What was asked for, what was given, and because of which budget."""

    asked: int
    given: int
    limit_source: str

    def note(self) -> Mapping[str, object]:
        """As it stands in the usage."""
        return {"asked": self.asked, "given": self.given, "limit_source": self.limit_source}


def affordable_tokens(request: ChatRequest, budget_nanos: int) -> int:
    """The largest `max_tokens` whose worst case fits the budget; 0 when not even the input does."""
    low, high = 0, request.output.each
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if request.worst_case_with(middle) <= budget_nanos else (low, middle - 1)
    return low


def lowered(request: ChatRequest, budget_nanos: int) -> ChatRequest | None:
    """The same request with as many tokens as the budget affords; None when those are too few."""
    tokens = affordable_tokens(request, budget_nanos)
    if tokens < min(request.output.each, LEAST_TOKENS):
        return None
    body = orjson.loads(request.forward)
    named = [name for name in _BOUNDS if body.get(name) is not None]
    for name in named or [_BOUNDS[request.model.upstream.dialect == "openai"]]:
        body[name] = min(body.get(name) or tokens, tokens)
    return replace(
        request,
        output=replace(request.output, each=tokens),
        forward=orjson.dumps(body),
        worst_case_nanos=request.worst_case_with(tokens),
    )
