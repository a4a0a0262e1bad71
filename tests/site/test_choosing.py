from datetime import UTC, datetime

import pytest

from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.catalog.types import Model, Price, Upstream
from pouch.site.choosing import MODELS_PER_PAGE, Wish, choose

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def model(name: str, price: tuple[str, str] | None = None, *, context: int = 100_000, about: str = "") -> Model:
    dated = None
    if price is not None:
        nanos = {"input": Money.parse(price[0]).nanos, "output": Money.parse(price[1]).nanos}
        dated = Price(new_id(), {"input": nanos["input"], "output": nanos["output"]}, NOW)
    return Model(
        id=f"maker/{name.lower().replace(' ', '-')}",
        name=name,
        description=about,
        owned_by="maker",
        context_window=context,
        max_tokens=1_000,
        tags=() if price else ("free",),
        upstream=Upstream("up", "openai", "http://127.0.0.1:9"),
        upstream_model="x",
        price=dated,
        created_at=NOW,
    )


MODELS = [
    model("beta", ("1.00", "2.00"), context=32_000, about="Quick and small."),
    model("Alpha", ("0.10", "9.00"), context=8_000),
    model("gamma", context=1_000_000, about="Reasons for long."),
    model("Delta", ("2.00", "1.00"), context=64_000),
]


def names(**query: str) -> list[str]:
    return [model.name for model in choose(MODELS, Wish.of(query)).models]


def test_the_list_is_alphabetical_whatever_the_case() -> None:
    assert names() == ["Alpha", "beta", "Delta", "gamma"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        # Input and output together; the same sum is in order of the name.
        ("price", ["gamma", "beta", "Delta", "Alpha"]),
        ("price-desc", ["Alpha", "beta", "Delta", "gamma"]),
        ("context", ["Alpha", "beta", "Delta", "gamma"]),
        ("context-desc", ["gamma", "Delta", "beta", "Alpha"]),
        ("nonsense", ["Alpha", "beta", "Delta", "gamma"]),
    ],
)
def test_the_list_is_sorted_by(sort: str, expected: list[str]) -> None:
    assert names(sort=sort) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ALPHA", ["Alpha"]),
        ("small quick", ["beta"]),
        ("maker long", ["gamma"]),
        ("maker/delta", ["Delta"]),
        ("alpha beta", []),
        ("   ", ["Alpha", "beta", "Delta", "gamma"]),
    ],
)
def test_every_word_must_be_in_name_maker_description_or_id(words: str, expected: list[str]) -> None:
    assert names(q=words) == expected


def test_free_and_paid_models_can_be_shown_alone() -> None:
    assert names(show="free") == ["gamma"]
    assert names(show="paid") == ["Alpha", "beta", "Delta"]


def test_a_long_list_comes_in_pages_that_keep_the_wish() -> None:
    many = [model(f"m{number:03d}") for number in range(MODELS_PER_PAGE + 5)]
    wish = Wish.of({"q": "maker", "sort": "context", "page": "2"})
    found = choose(many, wish)
    assert (found.page, found.pages, len(found.models), found.matching, found.total) == (2, 2, 5, 45, 45)
    assert wish.query(1) == "q=maker&sort=context"
    assert choose(many, Wish.of({"page": "9999"})).page == 2
    for junk in ("0", "-1", "x", "\u0663", "9" * 50, ""):
        assert choose(many, Wish.of({"page": junk})).page == 1
