"""The model list as clients read it: one shape that Roo, OpenAI and OpenRouter clients all accept.

Prices are US dollars per single token, as exact decimal text. A field that has nothing to say is absent, never null:
Roo refuses the whole list for one null. Of a price with tiers the list shows the price below the first tier.
"""

from collections.abc import Iterable

from pouch.catalog.types import Model, Price
from pouch.settings import PriceClass

_PER_TOKEN_DIGITS = 15
"""Nano-dollars per million tokens are 10^-15 dollars per token."""

_PARAMETERS = (
    "max_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "tools",
    "tool_choice",
    "response_format",
)

# Our class, and what Roo and OpenRouter clients call it.
_OPTIONAL_PRICES: tuple[tuple[PriceClass, str], ...] = (
    ("cache_read", "input_cache_read"),
    ("cache_write_5m", "input_cache_write"),
    ("reasoning", "internal_reasoning"),
    ("image", "image"),
    ("search", "web_search"),
    ("request", "request"),
)


def model_list(models: Iterable[Model]) -> dict[str, object]:
    """What `GET /v1/models` answers."""
    return {"object": "list", "data": [one(model) for model in models]}


def one(model: Model) -> dict[str, object]:
    """What `GET /v1/models/{id}` answers."""
    has_vision, has_reasoning = "vision" in model.tags, "reasoning" in model.tags
    inputs = ["text", "image"] if has_vision else ["text"]
    entry: dict[str, object] = {
        "id": model.id,
        "object": "model",
        "created": int(model.created_at.timestamp()),
        "owned_by": model.owned_by,
        "name": model.name,
        "description": model.description,
        "type": "language",
        "context_window": model.context_window,
        "context_length": model.context_window,
        "max_tokens": model.max_tokens,
        "pricing": pricing(model.price),
        "architecture": {
            "modality": f"{'+'.join(inputs)}->text",
            "input_modalities": inputs,
            "output_modalities": ["text"],
            "tokenizer": "Other",
        },
        "top_provider": {
            "context_length": model.context_window,
            "max_completion_tokens": model.max_tokens,
            "is_moderated": False,
        },
        "supported_parameters": [*_PARAMETERS, *(("reasoning", "include_reasoning") if has_reasoning else ())],
    }
    if model.tags:
        entry["tags"] = list(model.tags)
    return entry | dict(model.advice)


def pricing(price: Price | None) -> dict[str, str]:
    """Prices per token as text, under the names of both families of clients; a free model's are "0"."""
    if price is None:
        return {"input": "0", "output": "0", "prompt": "0", "completion": "0"}
    rates = price.nanos_per_mtok
    shown_input, shown_output = per_token(rates["input"]), per_token(rates["output"])
    return {
        "input": shown_input,
        "output": shown_output,
        "prompt": shown_input,
        "completion": shown_output,
        **{theirs: per_token(rates[ours]) for ours, theirs in _OPTIONAL_PRICES if ours in rates},
    }


def per_token(nanos_per_mtok: int) -> str:
    """Dollars per token, image or request: exact, without exponent or idle zeros, such as "0.00000025"."""
    whole, part = divmod(nanos_per_mtok, 10**_PER_TOKEN_DIGITS)
    return f"{whole}.{part:0{_PER_TOKEN_DIGITS}d}".rstrip("0").rstrip(".")
