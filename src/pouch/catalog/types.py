"""What the catalog says: upstreams, AI models, their dated prices, and the counts that a call is billed by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID

from pouch.settings import Dialect, PriceClass

PRICE_CLASSES: tuple[PriceClass, ...] = get_args(PriceClass)
INPUT_CLASSES: tuple[PriceClass, ...] = ("input", "cache_read", "cache_write_5m", "cache_write_1h")
OUTPUT_CLASSES: tuple[PriceClass, ...] = ("output", "reasoning")
UNIT_CLASSES: tuple[PriceClass, ...] = ("image", "audio_minute", "search", "request")
"""Counted by the piece, not in tokens. Stored per 1,000,000 pieces all the same, so that one sum fits all."""

NanosPerMillion = Mapping[PriceClass, int]


@dataclass(frozen=True, slots=True)
class Tier:
    """Other prices for a call whose whole input, cached tokens included, is above a size.

    They hold for every token of such a call, not only for those above. A class that the tier leaves out keeps the
    price's own.
    """

    above_tokens: int
    nanos_per_mtok: NanosPerMillion


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs from a moment on, in nano-dollars per 1,000,000 tokens (or images, requests …).

    Never changed once written: a new price is a new `Price`. `tiers` rise in `above_tokens`.
    """

    id: UUID
    nanos_per_mtok: NanosPerMillion
    effective_at: datetime
    tiers: tuple[Tier, ...] = ()


@dataclass(frozen=True, slots=True)
class Upstream:
    """A server that runs models. The key itself is only in the environment, under the name `api_key_env`."""

    id: str
    kind: Literal["openai", "test"]
    base_url: str
    """Without a trailing slash; "/chat/completions" is appended."""
    api_key_env: str | None = None
    dialect: Dialect = "as_is"


@dataclass(frozen=True, slots=True)
class Model:
    """A model that callers may name, with the price in force."""

    id: str
    name: str
    description: str
    owned_by: str
    context_window: int
    max_tokens: int
    tags: tuple[str, ...]
    """Says "free" exactly when the model is free."""
    upstream: Upstream
    upstream_model: str
    price: Price | None
    """None: the model is free."""
    created_at: datetime
    is_test: bool = False
    drops: tuple[str, ...] = ()
    """Fields of a request that are left out for it."""
    advice: Mapping[str, object] = field(default_factory=dict)
    """What the model list tells clients beside the figures."""

    @property
    def is_free(self) -> bool:
        """Whether calls cost nothing and touch no balance."""
        return self.price is None

    @property
    def is_deprecated(self) -> bool:
        """Whether it is only there for those who use it already: calls are answered, lists leave it out."""
        return bool(self.advice.get("deprecated"))


@dataclass(frozen=True, slots=True)
class Counts:
    """What one call used, by price class. `input` leaves cached tokens out, `output` leaves reasoning out."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    image: int = 0
    audio_minute: int = 0
    search: int = 0
    request: int = 1

    def __post_init__(self) -> None:
        tokens = min(self.input, self.output, self.cache_read, self.cache_write_5m, self.cache_write_1h, self.reasoning)
        if min(tokens, self.image, self.audio_minute, self.search, self.request) < 0:
            raise ValueError(f"{self} has a negative count")

    @property
    def input_total(self) -> int:
        """Every input token, cached or not: what `prompt_tokens` means."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h

    @property
    def output_total(self) -> int:
        """Every output token, shown or not: what `completion_tokens` means."""
        return self.output + self.reasoning
