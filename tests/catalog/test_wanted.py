from pathlib import Path

import pytest

from pouch.catalog.types import Tier
from pouch.catalog.wanted import WantedPrice, read_wanted
from pouch.settings import SettingsError, read_file

UPSTREAM = """
[[upstreams]]
id = "openai"
base_url = "https://api.example.com/v1"
"""
MODEL = """
[[models]]
id = "a/one"
upstream = "openai"
upstream_model = "one"
name = "One"
context_window = 1000
max_tokens = 100
"""


def refusal(tmp_path: Path, text: str) -> str:
    """What an operator reads, from the file itself to the last check."""
    path = tmp_path / "pouch.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as refused:
        read_wanted(read_file(path), source=str(path), with_test_models=False)
    return str(refused.value).replace(f"{tmp_path}/", "")


GOOD = 'price = { input = "1", output = "2" }'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("price = { input = 0.25, output = '2' }", "price.input: a price is written as text"),
        ("price = { input = 1, output = '2' }", "price.input: a price is written as text"),
        ("price = { input = true, output = '2' }", "price.input: a price is written as text"),
        ("price = { input = { nanos = 1 }, output = '2' }", "price.input: a price is written as text"),
        ("price = { input = '-1', output = '2' }", "price.input: '-1' is not a price"),
        ("price = { input = '1e-3', output = '2' }", "price.input: '1e-3' is not a price"),
        ("price = { input = '\u0661', output = '2' }", "price.input: '\u0661' is not a price"),
        ("price = { input = '', output = '2' }", "price.input: '' is not a price"),
        ("price = { input = '.5', output = '2' }", "price.input: '.5' is not a price"),
        ("price = { input = '0.0000000001', output = '2' }", "price.input: '0.0000000001' is not a price"),
        ("price = { input = '100000.01', output = '2' }", "price.input: is more than 100000 dollars"),
        ("price = { inptu = '1', output = '2' }", "price.inptu: Input should be 'input', 'output',"),
        ("price = { output = '2' }", "price.input: is missing"),
        ("price = { input = '2' }", "price.output: is missing"),
        ("price = { input = '0', output = '0.00' }", "price: is zero throughout"),
        ("", "price: is missing"),
        ("tags = ['free']\n" + GOOD, 'price: a model tagged "free" has no price'),
        (GOOD + "\ntiers = [{ above_tokens = 0, price = { input = '2' } }]", "tiers[0].above_tokens: "),
        (GOOD + "\ntiers = [{ above_tokens = 5, price = {} }]", "tiers[0].price: is empty"),
        (GOOD + "\ntiers = [{ above_tokens = 1000, price = { input = '2' } }]", "tiers[0].above_tokens: no call"),
        (GOOD + "\ntiers = [{ above_tokens = 5, price = { input = 2 } }]", "tiers[0].price.input: a price is"),
        (
            GOOD + "\ntiers = [{above_tokens = 5, price = {input = '2'}}, {above_tokens = 5, price = {input = '3'}}]",
            "tiers[1].above_tokens: must be more",
        ),
    ],
)
def test_a_bad_price_is_refused_with_file_model_and_field(tmp_path: Path, line: str, expected: str) -> None:
    """The operator finds the place without counting brackets."""
    first = MODEL.replace("a/one", "a/zero") + GOOD
    assert f"pouch.toml: models[1] a/one {expected}" in refusal(tmp_path, UPSTREAM + first + MODEL + line)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MODEL + GOOD, "models[0] a/one upstream: there is no upstream 'openai'"),
        (UPSTREAM + (MODEL + GOOD) * 2, "models[0] a/one id: stands in the file more than once"),
        (UPSTREAM * 2, "upstreams[1] openai id: stands in the file more than once"),
        (UPSTREAM.replace("openai", "test"), "upstreams[0] test id: this name belongs to the test models"),
        (UPSTREAM + MODEL.replace("a/one", "pouch/paid") + GOOD, "models[0] pouch/paid id: names that begin with"),
        (UPSTREAM.replace("https:", "ftp:"), "upstreams[0] openai base_url: it must look like"),
        (UPSTREAM.replace("api.", "key@api."), "upstreams[0] openai base_url: it must look like"),
        (UPSTREAM + 'kind = "gemini"', "upstreams[0] openai kind: Input should be 'openai'"),
        (UPSTREAM + MODEL.replace("1000", "0") + GOOD, "models[0] a/one context_window: "),
    ],
)
def test_a_bad_entry_is_refused_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    assert f"pouch.toml: {expected}" in refusal(tmp_path, text)


def test_a_key_pasted_where_its_name_belongs_is_not_repeated(tmp_path: Path) -> None:
    """The refusal goes to logs and terminals."""
    text = refusal(tmp_path, UPSTREAM + 'api_key_env = "sk-proj-s3cret"')
    assert "upstreams[0] openai api_key_env: " in text
    assert "s3cret" not in text


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    text = refusal(tmp_path, UPSTREAM + MODEL + "\n" + MODEL.replace("one", "two").replace("openai", "gone") + GOOD)
    assert len(text.splitlines()) == 2


def test_pieces_are_kept_per_million_like_tokens(tmp_path: Path) -> None:
    path = tmp_path / "pouch.toml"
    path.write_text(
        UPSTREAM
        + MODEL
        + """
price = { input = "0.000000001", output = "2.5", image = "0.04", request = "0.000000001" }
tiers = [{ above_tokens = 999, price = { output = "5" } }]
"""
    )
    (model,) = read_wanted(read_file(path), source="pouch.toml", with_test_models=False).models
    assert model.price == WantedPrice(
        {"input": 1, "output": 2_500_000_000, "image": 40_000_000 * 10**6, "request": 10**6},
        (Tier(999, {"output": 5_000_000_000}),),
    )


def test_what_clients_are_told_beside_the_figures_is_kept_as_it_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "pouch.toml"
    more = """
    deprecated = true
    default_temperature = 0.7
    drops = ["temperature"]
    settings = { includedTools = ["a"] }
    versioned_settings = { "3.36.4" = { excludedTools = ["b"], preserveReasoning = true } }
    """
    path.write_text(f"{UPSTREAM}{MODEL}{GOOD}\n{more}")
    (model,) = read_wanted(read_file(path), source="x", with_test_models=False).models
    assert model.row.drops == ("temperature",)
    assert model.row.advice == (
        '{"default_temperature":0.7,"deprecated":true,"settings":{"includedTools":["a"]},'
        '"versionedSettings":{"3.36.4":{"excludedTools":["b"],"preserveReasoning":true}}}'
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('drops = ["max_tokens"]', "drops[0]: Input should be"),
        ('drops = ["messages"]', "drops[0]: Input should be"),
        ("default_temperature = 3", "default_temperature: Input should be less than or equal to 2"),
        ('versioned_settings = { "3.36" = {} }', "versioned_settings.3.36"),
        ("settings = { since = 2026-01-01 }", "settings.since"),
    ],
)
def test_advice_that_cannot_be_is_refused(tmp_path: Path, line: str, expected: str) -> None:
    """What bounds the output can never be left out of a request."""
    assert expected in refusal(tmp_path, f"{UPSTREAM}{MODEL}{GOOD}\n{line}")


@pytest.mark.parametrize(
    ("base_url", "more", "dialect"),
    [
        ("https://api.openai.com/v1", "", "openai"),
        ("https://harbor.openai.azure.com/openai/v1", "", "openai"),
        ("https://openrouter.ai/api/v1", "", "as_is"),
        ("http://127.0.0.1:11434/v1", 'dialect = "plain"', "plain"),
        ("https://api.openai.com/v1", 'dialect = "as_is"', "as_is"),
    ],
)
def test_a_dialect_follows_from_the_address_unless_it_is_named(
    tmp_path: Path, base_url: str, more: str, dialect: str
) -> None:
    path = tmp_path / "pouch.toml"
    path.write_text(f'[[upstreams]]\nid = "one"\nbase_url = "{base_url}"\n{more}\n')
    (upstream,) = read_wanted(read_file(path), source="x", with_test_models=False).upstreams
    assert upstream.dialect == dialect
