"""Read what an upstream says it used. Whatever cannot be true is refused, so that it is never billed."""

from collections.abc import Mapping

from pouch.catalog.errors import UnusableUsage
from pouch.catalog.types import Counts

TOKENS_MAX = 2**32
"""More than this in one call is a broken upstream. At the dearest price that is accepted it still fits a balance."""


def counts_from_openai(usage: Mapping[str, object]) -> Counts:
    """Split the `usage` of a chat completion into price classes.

    `prompt_tokens` is the whole input with cached tokens, `completion_tokens` the whole output with reasoning. One
    family of upstreams counts reasoning beside the completion instead; its `total_tokens` tells. Cache writes are
    `cache_creation_input_tokens`, or `prompt_tokens_details.cache_write_tokens`.
    Raises UnusableUsage when a number is missing, no whole number, negative, absurd, or the parts exceed the whole.
    """
    prompt = _count(usage, "prompt_tokens", required=True)
    completion = _count(usage, "completion_tokens", required=True)
    details = _part(usage, "prompt_tokens_details")
    cached = _count(details, "cached_tokens")
    written = _count(usage, "cache_creation_input_tokens") or _count(details, "cache_write_tokens")
    reasoning = _count(_part(usage, "completion_tokens_details"), "reasoning_tokens")

    if cached + written > prompt:
        raise UnusableUsage(f"{cached} cached and {written} newly cached tokens are more than the prompt's {prompt}")
    if reasoning and _count(usage, "total_tokens") == prompt + completion + reasoning:
        completion += reasoning
    if reasoning > completion:
        raise UnusableUsage(f"{reasoning} reasoning tokens are more than the completion's {completion}")

    return Counts(
        input=prompt - cached - written,
        cache_read=cached,
        cache_write_5m=written,
        output=completion - reasoning,
        reasoning=reasoning,
    )


def _count(usage: Mapping[str, object], name: str, *, required: bool = False) -> int:
    value = usage.get(name)
    if value is None and not required:
        return 0
    # A bool is an int to Python and no number of tokens to anybody.
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= TOKENS_MAX:
        raise UnusableUsage(f"{name} is {str(value)[:40]}")
    return value


def _part(usage: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = usage.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UnusableUsage(f"{name} is no object")
    return value
