"""What pouch.toml asks of the catalog, checked: every price complete and sensible, every name known."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlsplit

import orjson

from pouch import settings as written
from pouch.base.money import Money
from pouch.catalog.store import ModelRow, UpstreamRow
from pouch.catalog.test_models import TEST_ID_PREFIX, TEST_MODELS, TEST_UPSTREAM, TEST_UPSTREAM_ID
from pouch.catalog.types import UNIT_CLASSES, NanosPerMillion, Tier
from pouch.settings import Dialect, PriceClass, SettingsError

PRICE_MAX = Money.parse("100000")
"""For a million tokens, or for one image or request: above it is a slip, and a bill might not fit a balance."""

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class WantedPrice:
    """A price without its date, which it gets when it is applied."""

    nanos_per_mtok: NanosPerMillion
    tiers: tuple[Tier, ...] = ()


@dataclass(frozen=True, slots=True)
class WantedModel:
    """A model and its price; None: free."""

    row: ModelRow
    price: WantedPrice | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The whole catalog as it should be."""

    upstreams: tuple[UpstreamRow, ...]
    models: tuple[WantedModel, ...]


def read_wanted(file: written.File, *, source: str, with_test_models: bool) -> Wanted:
    """Check the file and say what the catalog should be. Raises SettingsError that names every problem's place."""
    if problems := [f"{source}: {problem}" for problem in _problems(file)]:
        raise SettingsError("\n".join(problems))
    upstreams = [
        UpstreamRow(entry.id, entry.kind, entry.base_url, entry.api_key_env, entry.dialect or _dialect(entry.base_url))
        for entry in file.upstreams
    ]
    models = [WantedModel(_row(index, model), _price(model)) for index, model in enumerate(file.models)]
    if with_test_models:
        upstreams.append(TEST_UPSTREAM)
        models += [WantedModel(row, WantedPrice(nanos) if nanos else None) for row, nanos in TEST_MODELS.items()]
    return Wanted(tuple(upstreams), tuple(models))


def _problems(file: written.File) -> Iterator[str]:
    upstream_ids = Counter(upstream.id for upstream in file.upstreams)
    for index, upstream in enumerate(file.upstreams):
        if upstream.id == TEST_UPSTREAM_ID:
            yield f"upstreams[{index}] {upstream.id} id: this name belongs to the test models"
        elif upstream_ids[upstream.id] > 1:
            yield f"upstreams[{index}] {upstream.id} id: stands in the file more than once"
    model_ids = Counter(model.id for model in file.models)
    for index, model in enumerate(file.models):
        place = f"models[{index}] {model.id}"
        if model.id.startswith(TEST_ID_PREFIX):
            yield f"{place} id: names that begin with {TEST_ID_PREFIX} belong to the test models"
        elif model_ids[model.id] > 1:
            yield f"{place} id: stands in the file more than once"
        if model.upstream not in upstream_ids:
            yield f"{place} upstream: there is no upstream {model.upstream!r}"
        for problem in _price_problems(model):
            yield f"{place} {problem}"


def _price_problems(model: written.Model) -> Iterator[str]:
    if "free" in model.tags:
        if model.price is not None or model.tiers:
            yield 'price: a model tagged "free" has no price; remove one of the two'
        return
    if model.price is None:
        yield 'price: is missing. Give "input" and "output" in US dollars per million tokens, or tag the model "free"'
        return
    for name in ("input", "output"):
        if name not in model.price:
            yield f"price.{name}: is missing"
    if not any(model.price.values()):
        yield 'price: is zero throughout; a model that costs nothing is tagged "free"'
    yield from _too_dear("price", model.price)
    yield from _tier_problems(model)


def _tier_problems(model: written.Model) -> Iterator[str]:
    for index, tier in enumerate(model.tiers):
        if tier.above_tokens >= model.context_window:
            yield f"tiers[{index}].above_tokens: no call is above {tier.above_tokens}, the context window is smaller"
        if not tier.price:
            yield f"tiers[{index}].price: is empty"
        yield from _too_dear(f"tiers[{index}].price", tier.price)
    for index, (lower, higher) in enumerate(pairwise(model.tiers), start=1):
        if higher.above_tokens <= lower.above_tokens:
            yield f"tiers[{index}].above_tokens: must be more than the tier's before it"


def _too_dear(place: str, price: Mapping[PriceClass, Money]) -> Iterator[str]:
    for name, amount in price.items():
        if amount > PRICE_MAX:
            yield f"{place}.{name}: is more than {PRICE_MAX.nanos // 10**9} dollars"


def _row(position: int, model: written.Model) -> ModelRow:
    vendor, slash, _ = model.id.partition("/")
    return ModelRow(
        id=model.id,
        upstream_id=model.upstream,
        upstream_model=model.upstream_model,
        name=model.name,
        description=model.description,
        owned_by=vendor if slash else model.upstream,
        context_window=model.context_window,
        max_tokens=model.max_tokens,
        position=position,
        is_test=False,
        tags=tuple(tag for tag in dict.fromkeys(model.tags) if tag != "free"),
        drops=model.drops,
        advice=orjson.dumps(_advice(model), option=orjson.OPT_SORT_KEYS).decode(),
    )


def _dialect(base_url: str) -> Dialect:
    host = urlsplit(base_url).hostname or ""
    return "openai" if host == "api.openai.com" or host.endswith(".openai.azure.com") else "as_is"


def _advice(model: written.Model) -> dict[str, object]:
    # What has nothing to say is absent: Roo Code refuses the whole list for one null.
    advice: dict[str, object] = {}
    if model.deprecated:
        advice["deprecated"] = True
    if model.default_temperature is not None:
        advice["default_temperature"] = model.default_temperature
    if model.settings:
        advice["settings"] = model.settings
    if model.versioned_settings:
        advice["versionedSettings"] = model.versioned_settings
    return advice


def _price(model: written.Model) -> WantedPrice | None:
    if model.price is None:
        return None
    tiers = (Tier(tier.above_tokens, _nanos(tier.price)) for tier in model.tiers)
    return WantedPrice(_nanos(model.price), tuple(tiers))


def _nanos(price: Mapping[PriceClass, Money]) -> dict[PriceClass, int]:
    # Pieces are priced one by one in the file and kept per million, like tokens.
    return {name: amount.nanos * (_MILLION if name in UNIT_CLASSES else 1) for name, amount in price.items()}
