"""Every catalogue in the package can be used as it stands: values, tags and all."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pouch
from pouch.base.catalogues import Catalogue, Entry, entries

FOLDER = Path(pouch.__file__).parent / "languages"
TOOL = Path(__file__).parents[2] / "tools" / "texts.py"
CATALOGUES = sorted(FOLDER.glob("*.po"))
_VALUE = re.compile(r"%\(\w+\)s")
_TAG = re.compile(r"<[^>]*>")


def translated(file: Path) -> list[Entry]:
    return [each for each in entries(file.read_text(encoding="utf-8")) if each.message and all(each.translations)]


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.name)
def test_a_translation_has_the_values_and_tags_of_its_text(file: Path) -> None:
    for entry in translated(file):
        for text in entry.translations:
            assert set(_VALUE.findall(text)) <= set(_VALUE.findall(entry.message + (entry.plural or "")))
            if entry.plural is None:
                assert sorted(_VALUE.findall(text)) == sorted(_VALUE.findall(entry.message)), entry.message
            assert _TAG.findall(text) == _TAG.findall(entry.message), entry.message
            # Nothing but values may look like one: the text is formatted with them.
            assert "%" not in _VALUE.sub("", text).replace("%%", ""), entry.message


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.name)
def test_a_catalogue_chooses_among_the_forms_it_has(file: Path) -> None:
    catalogue = Catalogue.read(file.stem, file.read_text(encoding="utf-8"))
    for entry in translated(file):
        if entry.plural:
            assert {catalogue.plural(count) for count in range(200)} == set(range(len(entry.translations)))


def test_texts_are_gathered_from_templates_and_modules() -> None:
    """The tool runs on what is here, finds both kinds, and every text of a catalogue that is shown is one of them."""
    run = subprocess.run([sys.executable, "-P", str(TOOL), "--check"], capture_output=True, text=True, check=False)
    assert "texts are translated" in run.stdout, run.stderr
    gathered = {each.message for each in entries((FOLDER / "texts.pot").read_text(encoding="utf-8"))}
    assert {"Buy Credits", "There is no such purchase.", "Paid", "You bought %(amount)s of credits"} <= gathered


def test_german_speaks_where_money_is() -> None:
    """The top bar, signing in, Billing, buying and the receipt: the language that shows that languages work."""
    german = Catalogue.read("de", (FOLDER / "de.po").read_text(encoding="utf-8"))
    for text in ("Available", "Buy Credits", "Sign in", "Continue to payment", "Every change of your balance", "Paid"):
        assert german.gettext(text) != text
