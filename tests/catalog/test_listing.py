from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from openai.types import Model as OpenAIModel

from pouch.catalog.listing import model_list, one, per_token
from pouch.catalog.types import Model, Price, Upstream

AT = datetime(2026, 11, 22, 12, 0, 0, 500_000, tzinfo=UTC)
PRICE = Price(
    UUID(int=1),
    {
        "input": 250_000_000,
        "output": 2_000_000_000,
        "cache_read": 25_000_000,
        "cache_write_5m": 312_500_000,
        "image": 40_000_000 * 1_000_000,
        "request": 0,
    },
    AT,
)
PAID = Model(
    id="openai/gpt-5-mini",
    name="GPT-5 mini",
    description="Small and quick.",
    owned_by="openai",
    context_window=400_000,
    max_tokens=128_000,
    tags=("vision", "reasoning"),
    upstream=Upstream("openai", "openai", "https://api.example.com/v1", "OPENAI_API_KEY"),
    upstream_model="gpt-5-mini",
    price=PRICE,
    created_at=AT,
)
FREE = replace(PAID, id="a/free", price=None, tags=("free",))


def test_roo_finds_every_field_it_insists_on() -> None:
    """One missing or wrongly typed field makes the extension refuse the whole list."""
    for entry in (one(PAID), one(FREE)):
        for name in ("id", "owned_by", "name", "description"):
            assert isinstance(entry[name], str)
        for name in ("created", "context_window", "max_tokens"):
            assert type(entry[name]) is int
        assert (entry["object"], entry["type"]) == ("model", "language")
        pricing = entry["pricing"]
        assert isinstance(pricing, dict)
        assert {"input", "output"} <= pricing.keys()
        assert all(isinstance(value, str) and value for value in pricing.values())


def test_no_field_is_null() -> None:
    assert None not in one(replace(PAID, tags=())).values()
    assert "tags" not in one(replace(PAID, tags=()))
    assert "None" not in str(model_list([PAID, FREE]))


def test_prices_are_dollars_per_token_as_text() -> None:
    assert one(PAID)["pricing"] == {
        "input": "0.00000025",
        "output": "0.000002",
        "prompt": "0.00000025",
        "completion": "0.000002",
        "input_cache_read": "0.000000025",
        "input_cache_write": "0.0000003125",
        "image": "0.04",
        "request": "0",
    }


def test_a_free_model_says_zero_and_free() -> None:
    entry = one(FREE)
    assert entry["pricing"] == {"input": "0", "output": "0", "prompt": "0", "completion": "0"}
    assert entry["tags"] == ["free"]


def test_advice_is_listed_and_absent_when_there_is_none() -> None:
    advice = {
        "deprecated": True,
        "default_temperature": 0.7,
        "settings": {"includedTools": ["a"]},
        "versionedSettings": {"3.36.4": {"excludedTools": ["b"]}},
    }
    entry = one(replace(PAID, advice=advice))
    assert {name: entry[name] for name in advice} == advice
    assert one(PAID).keys().isdisjoint(advice)


def test_openrouter_and_openai_clients_find_theirs() -> None:
    entry = one(PAID)
    assert entry["context_length"] == 400_000
    assert entry["top_provider"] == {
        "context_length": 400_000,
        "max_completion_tokens": 128_000,
        "is_moderated": False,
    }
    assert entry["architecture"] == {
        "modality": "text+image->text",
        "input_modalities": ["text", "image"],
        "output_modalities": ["text"],
        "tokenizer": "Other",
    }
    assert "reasoning" in str(entry["supported_parameters"])
    assert OpenAIModel.model_validate(entry).id == PAID.id


@given(st.integers(0, 10**20))
def test_a_price_per_token_is_exact_and_plain(nanos_per_mtok: int) -> None:
    shown = per_token(nanos_per_mtok)
    assert Decimal(shown) * 10**15 == nanos_per_mtok
    assert set(shown) <= set("0123456789.")
    assert not shown.endswith(".")
