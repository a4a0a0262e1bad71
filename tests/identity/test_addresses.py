# ruff: noqa: RUF001 -- that letters look alike is what these tests are about
"""One spelling for every address, and no address that passes for another."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.base.errors import InvalidInput
from pouch.identity.addresses import read_address

ALICE = "alice@example.com"


@pytest.mark.parametrize(
    "twin",
    [
        "alice@example.com",
        "ALICE@EXAMPLE.COM",
        "  Alice@Example.com ",
        "ａｌｉｃｅ@example.com",
        "alice@ｅｘａｍｐｌｅ.com",
        "alice@example。com",
        "𝐚𝐥𝐢𝐜𝐞@example.com",
        "aliℂe@example.com",
    ],
)
def test_twins_of_an_address_share_its_canonical_form(twin: str) -> None:
    assert read_address(twin).canonical == ALICE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("jose\u0301@example.com", "jos\u00e9@example.com"),
        ("straße@example.com", "STRASSE@example.com"),
        ("info@bücher.example", "info@xn--bcher-kva.example"),
        ("\u212aelvin@example.com", "kelvin@example.com"),
        ("ΣΊΣΥΦΟΣ@example.com", "σίσυφος@example.com"),
    ],
)
def test_two_spellings_of_one_address_are_one_address(one: str, other: str) -> None:
    assert read_address(one).canonical == read_address(other).canonical


@pytest.mark.parametrize(
    "look_alike",
    [
        "аlice@example.com",  # a Cyrillic a
        "alicе@example.com",  # a Cyrillic e
        "αlice@example.com",  # a Greek alpha
        "alіce@example.com",  # a Ukrainian i
        "ɑlice@example.com",  # the phonetic a
        "асе@example.com",  # all Cyrillic, reads as "ace"
        "alice@ехаmple.com",  # two Cyrillic letters in the domain
        "alice@аррӏе.com",  # all Cyrillic, reads as "apple"
        "al\u034fice@example.com",  # a joiner that is drawn as nothing
        "ali\u3164ce@example.com",  # a filler that is drawn as nothing
        "alice\ufe0f@example.com",  # a variation selector
        "al\u200bice@example.com",  # a zero-width space
        "\u202ealice@example.com",  # right to left from here on
        "alice\u0661@example.com",  # an Arabic one
        "al\u2010ice@example.com",  # another hyphen
        "al\u0131ce@example.com",  # an i without its dot
        "a\u0345lice@example.com",  # a mark that folds into a Greek letter
    ],
)
def test_an_address_that_passes_for_another_is_refused(look_alike: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_address(look_alike)
    assert refused.value.field == "email"


@pytest.mark.parametrize(
    "address",
    [
        "borìs@example.com",
        "иван.петров@example.com",
        "иван@пример.рф",
        "nguyễn@example.com",
        "łukasz@example.com",
        "山田@example.com",
        "やまだ太郎@example.jp",
        "김@example.kr",
        "alice+pouch@example.com",
        "a.l.i.c.e@gmail.com",
        "alice@intranet.local",
        "alice@localhost",
        "alice@pouch.test",
    ],
)
def test_an_honest_address_in_any_alphabet_is_taken(address: str) -> None:
    assert read_address(address).shown == address


def test_dots_and_tags_make_other_addresses() -> None:
    """Only the mail host knows whether they matter."""
    assert read_address("a.lice+1@example.com").canonical != read_address(ALICE).canonical


def test_the_shown_address_keeps_its_capitals() -> None:
    assert read_address("Alice.McGee@Example.COM").shown == "Alice.McGee@example.com"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "@example.com",
        "alice@",
        "alice@@example.com",
        "alice bob@example.com",
        "alice@exa mple.com",
        "alice\n@example.com",
        "alice@example.com\r\nBcc: bob@example.com",
        '"alice"@example.com',
        "Alice <alice@example.com>",
        "alice@[127.0.0.1]",
        "al\x00ice@example.com",
        "\udcffalice@example.com",
        "a" * 300 + "@example.com",
        "a" * 70 + "@example.com",
    ],
)
def test_what_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_address(text)


_parts = st.text(
    alphabet=st.one_of(
        st.characters(),
        st.sampled_from("aA.-+ßſKİıΐᾳͅςａ。@\u0301\u0345\u1160\u200d"),
        st.characters(max_codepoint=0x250),
    ),
    min_size=1,
    max_size=12,
)


@given(st.one_of(st.text(), st.builds("{}@{}.com".format, _parts, _parts), st.builds("{}@example.com".format, _parts)))
def test_any_text_is_read_or_refused_and_reading_again_changes_nothing(text: str) -> None:
    try:
        address = read_address(text)
    except InvalidInput:
        return
    again = read_address(address.canonical)
    assert again.canonical == address.canonical
    assert read_address(address.shown).canonical == address.canonical


@given(_parts)
def test_capitals_and_normal_forms_never_make_a_second_account(local: str) -> None:
    try:
        address = read_address(f"{local}@example.com")
    except InvalidInput:
        return
    for twin in (
        local.upper(),
        local.lower(),
        unicodedata.normalize("NFD", local),
        unicodedata.normalize("NFKC", local),
    ):
        try:
            assert read_address(f"{twin}@example.com").canonical == address.canonical
        except InvalidInput:
            continue
