"""What applying a pouch.toml would change, in rows and in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from pouch.base.database import Connection
from pouch.base.money import Money
from pouch.catalog import store
from pouch.catalog.cost import rate_of, rates_at
from pouch.catalog.store import ModelRow, UpstreamRow
from pouch.catalog.types import INPUT_CLASSES, OUTPUT_CLASSES, UNIT_CLASSES, NanosPerMillion, Price
from pouch.catalog.wanted import WantedModel, WantedPrice, read_wanted
from pouch.settings import File, PriceClass

CONFIRM_FACTOR = 100
"""A price that grows or shrinks this many times is more often a slip of the decimal point than a decision."""

TestModels = Literal["add", "keep", "remove"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows to write, and the same as sentences. `unconfirmed` says which prices stay as they are for now."""

    upstreams: Sequence[UpstreamRow]
    models: Sequence[ModelRow]
    prices: Sequence[tuple[str, WantedPrice | None]]
    retired_models: Sequence[str]
    retired_upstreams: Sequence[str]
    changes: Sequence[str]
    unconfirmed: Sequence[str]


def wish_for_test_models(file: File, *, is_up: bool) -> TestModels:
    """Whether the test models belong in this Pouch.

    Only `pouch up` can serve them, so only it adds them; a file that does not want them takes them out from anywhere;
    other commands leave them as they are. Wanted means: switched on, or not switched off and no upstream configured.
    """
    is_wanted = not file.upstreams if file.embedded.models is None else file.embedded.models
    if not is_wanted:
        return "remove"
    return "add" if is_up else "keep"


async def plan(
    db: Connection, file: File, *, source: str, test_models: TestModels = "keep", confirm: bool = False
) -> Plan:
    """Compare the file with the catalog; changes nothing.

    A price 100 times off the one in force stays as it is, unless `confirm`. Raises SettingsError, naming `source`,
    model and field, when the file cannot be used.
    """
    wanted = read_wanted(file, source=source, with_test_models=test_models == "add")
    upstreams = {row.id: row for row in await store.listed_upstreams(db)}
    models = {listed.row.id: listed.row for listed in await store.listed_models(db)}
    prices = await store.latest_prices(db)
    if test_models == "keep":
        upstreams = {name: row for name, row in upstreams.items() if row.kind != "test"}
        models = {name: row for name, row in models.items() if not row.is_test}

    new_upstreams = [row for row in wanted.upstreams if upstreams.get(row.id) != row]
    new_models = [model for model in wanted.models if models.get(model.row.id) != model.row]
    new_prices = [model for model in wanted.models if not _is_in_force(model, prices)]
    taken = [model for model in new_prices if confirm or not _needs_confirmation(model, prices)]
    gone_upstreams = sorted(upstreams.keys() - {row.id for row in wanted.upstreams})
    gone_models = sorted(models.keys() - {model.row.id for model in wanted.models})
    return Plan(
        upstreams=new_upstreams,
        models=[model.row for model in new_models],
        prices=[(model.row.id, model.price) for model in taken],
        retired_models=gone_models,
        retired_upstreams=gone_upstreams,
        changes=[
            *(_upstream_sentence(row, upstreams.get(row.id)) for row in new_upstreams),
            *(_model_sentence(model, models.get(model.row.id)) for model in new_models),
            *(_price_sentence(model, prices[model.row.id]) for model in taken if model.row.id in prices),
            *(f"Retired model {name}." for name in gone_models),
            *(f"Retired upstream {name}." for name in gone_upstreams),
        ],
        unconfirmed=[
            f"The price of {model.row.id} stays {_shown(prices[model.row.id])}: {_shown(model.price)} is "
            f"{CONFIRM_FACTOR} times off. If it is meant, run: pouch catalog apply {source} --confirm"
            for model in new_prices
            if model not in taken
        ],
    )


def _is_in_force(model: WantedModel, prices: Mapping[str, Price | None]) -> bool:
    return model.row.id in prices and _is_same(prices[model.row.id], model.price)


def _needs_confirmation(model: WantedModel, prices: Mapping[str, Price | None]) -> bool:
    old, new = prices.get(model.row.id), model.price
    return old is not None and new is not None and _is_far_off(old, new)


def _is_same(old: Price | None, new: WantedPrice | None) -> bool:
    if old is None or new is None:
        return old is None and new is None
    return (old.nanos_per_mtok, old.tiers) == (new.nanos_per_mtok, new.tiers)


def _is_far_off(old: Price, new: WantedPrice) -> bool:
    # Compared as billed, for a call of every size that either price knows.
    sizes = {0, *(tier.above_tokens + 1 for tier in (*old.tiers, *new.tiers))}
    return any(
        _differs_much(before, after)
        for size in sizes
        for before, after in _pairs(
            rates_at(old.nanos_per_mtok, old.tiers, size), rates_at(new.nanos_per_mtok, new.tiers, size)
        )
    )


def _pairs(old: NanosPerMillion, new: NanosPerMillion) -> Iterator[tuple[int, int]]:
    for name in (*INPUT_CLASSES, *OUTPUT_CLASSES):
        yield rate_of(old, name), rate_of(new, name)
    for name in UNIT_CLASSES:
        if name in old and name in new:
            yield old[name], new[name]


def _differs_much(before: int, after: int) -> bool:
    return before != after and max(before, after) >= CONFIRM_FACTOR * min(before, after)


def _upstream_sentence(new: UpstreamRow, old: UpstreamRow | None) -> str:
    return f"New upstream {new.id}." if old is None else f"Changed upstream {new.id}: {_changed(new, old)}."


def _model_sentence(new: WantedModel, old: ModelRow | None) -> str:
    if old is None:
        return f"New model {new.row.id}: {_shown(new.price)}."
    return f"Changed model {new.row.id}: {_changed(new.row, old)}."


def _price_sentence(new: WantedModel, old: Price | None) -> str:
    return f"New price of {new.row.id}: {_shown(new.price)}; until now {_shown(old)}."


def _changed(new: UpstreamRow | ModelRow, old: UpstreamRow | ModelRow) -> str:
    return ", ".join(field.name for field in fields(new) if getattr(new, field.name) != getattr(old, field.name))


def _shown(price: Price | WantedPrice | None) -> str:
    if price is None:
        return "free"
    above = (f"above {tier.above_tokens} tokens {_classes(tier.nanos_per_mtok)}" for tier in price.tiers)
    return "; ".join((_classes(price.nanos_per_mtok), *above))


def _classes(nanos_per_mtok: NanosPerMillion) -> str:
    return ", ".join(f"{name} ${_dollars(name, nanos)}" for name, nanos in nanos_per_mtok.items())


def _dollars(name: PriceClass, nanos: int) -> str:
    return Money(nanos // 1_000_000 if name in UNIT_CLASSES else nanos).decimal().rstrip("0").rstrip(".")
