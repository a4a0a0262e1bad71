"""A letter says what its templates say: escaped where it is HTML, complete or not at all."""

import re
from pathlib import Path

import pytest
from jinja2 import TemplateError

import pouch
from pouch.mail.templates import Templates

ROOMS = Path(pouch.__file__).parent
SITE = "https://pouch.harbor.example"


def test_the_first_line_is_the_subject_and_the_rest_the_text(templates: Templates) -> None:
    words = templates.render("hello", to="alice@harbor.example", context={"greeting": "Good day"})

    assert words.subject == "Good day from Pouch"
    assert words.text == f"Good day, this is for alice@harbor.example.\n\nLook: {SITE}/billing\n"
    assert "<title>Good day from Pouch</title>" in words.html


def test_html_is_escaped_and_text_is_not(templates: Templates) -> None:
    words = templates.render("hello", to="alice@harbor.example", context={"greeting": "<b>You & I</b>"})

    assert "<b>" not in words.html
    assert "&lt;b&gt;You &amp; I&lt;/b&gt;" in words.html
    assert words.subject.startswith("<b>You & I</b>")


@pytest.mark.parametrize("line_end", ["\r", "\r\n", "\n", "\x0b", "\x85", "\u2028", "\x00"])
def test_a_subject_is_one_line_whatever_it_is_made_of(templates: Templates, line_end: str) -> None:
    """Alice names her organization "Harbor", line break, "Bcc: everybody"."""
    words = templates.render("hello", to="a@b.example", context={"greeting": f"Harbor{line_end}Bcc: carol@x.example"})

    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", words.subject)
    assert words.subject.startswith("Harbor")


def test_a_letter_with_a_hole_in_it_is_not_sent(templates: Templates) -> None:
    with pytest.raises(TemplateError, match="greeting"):
        templates.render("hello", to="alice@harbor.example", context={})


def test_a_kind_without_templates_is_an_error(templates: Templates) -> None:
    with pytest.raises(TemplateError):
        templates.render("nothing", to="alice@harbor.example", context={})


def test_a_letter_points_nowhere_but_to_its_own_site(templates: Templates) -> None:
    words = templates.render("hello", to="alice@harbor.example", context={"greeting": "Hello"})
    for address in re.findall(r"""(?:https?:)?//[^\s"'<>)]+""", words.html + words.text):
        assert address.startswith(f"{SITE}/")
    assert "@import" not in words.html
    assert "url(" not in words.html


@pytest.mark.parametrize("path", sorted(ROOMS.glob("*/templates/mail/*")), ids=lambda path: path.name)
def test_no_template_of_any_room_names_an_address_of_its_own(path: Path) -> None:
    assert not re.search(r"//[a-z]|@import|url\(|<img|<link", path.read_text(encoding="utf-8"))


def test_the_support_address_is_shown_when_there_is_one() -> None:
    helpful = Templates([("mail", "templates")], site_name="Pouch", site_url=SITE, support_email="help@harbor.example")
    words = helpful.render("hello", to="alice@harbor.example", context={"greeting": "Hello"})
    assert 'href="mailto:help@harbor.example"' in words.html
