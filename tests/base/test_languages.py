"""Which language a reader gets, and what a catalogue makes of a text."""

import pytest

from pouch.base.catalogues import Catalogue
from pouch.base.languages import choose, installed, language, say, speaking

POLISH = r"""
msgid ""
msgstr ""
"Plural-Forms: nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);\n"

# Said by a person.
msgid "Paid"
msgstr "Zapłacono"

#, python-format
msgid "%(count)s line"
msgid_plural "%(count)s lines"
msgstr[0] "%(count)s wiersz"
msgstr[1] "%(count)s wiersze"
msgstr[2] "%(count)s wierszy"

msgid "Open"
msgstr ""

#, fuzzy
msgid "Closed"
msgstr "Otwarte"

msgid "A long one "
"with a \"word\""
msgstr "Długie "
"ze \"słowem\""
"""


def test_a_catalogue_says_what_it_has_and_leaves_the_rest_in_english() -> None:
    polish = Catalogue.read("pl", POLISH)
    assert polish.gettext("Paid") == "Zapłacono"
    assert polish.gettext('A long one with a "word"') == 'Długie ze "słowem"'
    for text in ("Open", "Closed", "Unheard of", ""):
        assert polish.gettext(text) == text


def test_a_number_chooses_its_form() -> None:
    polish = Catalogue.read("pl", POLISH)
    forms = [polish.ngettext("%(count)s line", "%(count)s lines", count).split()[1] for count in (1, 2, 5, 22)]
    assert forms == ["wiersz", "wiersze", "wierszy", "wiersze"]
    assert [polish.ngettext("one", "many", count) for count in (0, 1, 2)] == ["many", "one", "many"]


@pytest.mark.parametrize("text", ['msgid "Paid"', 'msgid "Paid"\nmsgstr Zapłacono', '"Paid"\nmsgid "x"\nmsgstr "y"'])
def test_what_is_no_catalogue_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"catalogue|translation"):
        Catalogue.read("pl", text)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("de", "de"),
        ("de-CH", "de"),
        ("DE", "de"),
        ("fr, de;q=0.3, en;q=0.5", "en"),
        ("fr;q=0.9,de;q=0.8", "de"),
        ("de;q=0", "en"),
        ("de;q=9, en;q=0.1", "en"),
        ("*", "en"),
        ("", "en"),
        (";;;,,,=q", "en"),
        ("../../etc/passwd", "en"),
        ("x" * 100_000, "en"),
        (",".join(["fr"] * 50 + ["de"]), "en"),
    ],
)
def test_the_language_is_one_that_is_installed(accepted: str, chosen: str) -> None:
    assert choose(accepted, "en") == chosen


def test_english_is_spoken_where_nobody_said_otherwise() -> None:
    assert language() == "en"
    with speaking("de"):
        assert language() == "de"
        assert say("Paid") == "Bezahlt"
        assert say("No such text: %(name)s%%", name="x") == "No such text: x%"
    assert say("Paid") == "Paid"
    assert "de" in installed()
