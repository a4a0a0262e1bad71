"""Who speaks to us: our name in somebody's own words."""

import time

import pytest

from pouch.agents.triggers.mentions import TEXT_CHARACTERS_MAX, mentions


@pytest.mark.parametrize(
    "text",
    [
        "@pouch fix this",
        "Could you, @Pouch?",
        "(@pouch)",
        "First line\r\n@pouch: go",
        "See `code`, @pouch",
        "**@pouch**",
    ],
)
def test_our_name_speaks_to_us(text: str) -> None:
    assert mentions(text, "pouch")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pouch",
        "@pouches",
        "@pouch-beta",
        "alice@pouch.example",
        "acme/@pouch",
        "`@pouch fix`",
        "``@pouch ` fix``",
        "> @pouch fix this",
        "  > @pouch fix this",
        "    @pouch in code",
        "```\n@pouch fix this\n```",
        "~~~sh\n@pouch fix this\n~~~\nthanks",
        "```\n@pouch and never closed",
        "<!-- @pouch -->",
        "<!-- @pouch",
    ],
)
def test_code_quotes_and_what_is_hidden_do_not(text: str) -> None:
    assert not mentions(text, "pouch")


@pytest.mark.parametrize("piece", ["`", "```\n", "<!--", "> ", "@pouc", "~~~\n```\n", "``` ` "])
def test_a_text_made_to_be_slow_is_not(piece: str) -> None:
    begun = time.process_time()
    mentions(piece * (TEXT_CHARACTERS_MAX // len(piece)), "pouch")
    assert time.process_time() - begun < 5
