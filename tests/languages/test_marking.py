"""No template says a sentence that cannot be translated.

A reader of HTML goes over each template as it stands: what is left of it without the parts of Jinja must have no words,
neither between its tags nor in the attributes that people hear or see; and no literal with words is shown unmarked.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

import pouch

ROOMS = Path(pouch.__file__).parent
SILENT = {"code", "kbd", "pre", "script", "style", "svg"}
HEARD = {"alt", "aria-label", "placeholder", "title"}
NAMES = (
    "Pouch",
    "UTC",
    "CSV",
    "JSON",
    "curl",
    "Python",
    "TypeScript",
    "Node",
    "Roo Code",
    "OpenAI Compatible",
    "sk-pouch-",
    ".csv",
)
"""What is called the same in every language."""
EXCEPT = {
    "embedded/cards": "another house, which plays a card processor for tests; it speaks English like the tests do",
    "site/templates/site/docs": "documentation is translated page by page, not sentence by sentence",
}
_PATH = re.compile(r"https?://\S+|(?<![\w/])/[\w/#-]+")
_WORD = re.compile(r"[A-Za-z]{2,}")


def templates() -> list[Path]:
    found = sorted([*ROOMS.rglob("templates/**/*.html"), *ROOMS.rglob("templates/**/*.txt")])
    return [path for path in found if not any(str(path.relative_to(ROOMS)).startswith(each) for each in EXCEPT)]


@pytest.mark.parametrize("path", templates(), ids=lambda path: str(path.relative_to(ROOMS)))
def test_every_text_of_a_template_can_be_translated(path: Path) -> None:
    assert list(unmarked(path.read_text(encoding="utf-8"), is_html=path.suffix == ".html")) == []


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("<p>Buy credits</p>", ["Buy credits"]),
        ('<p>{{ _("Buy credits") }}</p>', []),
        ("<p>{% trans %}Buy credits{% endtrans %}</p>", []),
        ("<p>{% trans %}Buy{% endtrans %} credits</p>", ["credits"]),
        ('<a aria-label="Close it" href="/x">{{ icon("x") }}</a>', ["Close it"]),
        ('{{ "Paid" if done else _("Open") }}', ["Paid"]),
        ('{{ ui.field("name", "Your name") }}', ["Your name"]),
        ('{{ ui.badge(_("Paid"), "good") }}', []),
        ('{% set words = "Two words" %}', ["Two words"]),
        ("<code>pouch up</code> {{ amount | dollars }} UTC", []),
    ],
)
def test_the_reader_finds_what_is_not_marked(template: str, found: list[str]) -> None:
    assert list(unmarked(template, is_html=True)) == found


def unmarked(template: str, *, is_html: bool) -> Iterator[str]:
    """Texts that people would see as they stand."""
    environment = Environment(autoescape=True, extensions=["jinja2.ext.i18n", "jinja2.ext.do"])
    tree = environment.parse(template)
    # What is marked was turned into calls; what Jinja passes on as it is comes here in its order.
    data = "".join(_data(tree))
    if is_html:
        reader = _Reader()
        reader.feed(data)
        reader.close()
        texts = reader.texts
    else:
        texts = data.removeprefix("Subject:").splitlines()
    yield from (text.strip() for text in texts if _says(text))
    yield from (text for text in _literals(tree) if _says(text))


def _says(text: str) -> bool:
    for name in NAMES:
        text = text.replace(name, "")
    return bool(_WORD.search(_PATH.sub("", text)))


def _data(tree: nodes.Template) -> Iterator[str]:
    return (part.data for part in tree.find_all(nodes.TemplateData))


def _literals(tree: nodes.Template) -> Iterator[str]:
    """Literals that are shown: alone, as an alternative, given a name, or handed to a part of the page."""
    for output in tree.find_all(nodes.Output):
        for node in output.nodes:
            yield from _sentences(node)
    for given in tree.find_all((nodes.Assign, nodes.CallBlock, nodes.With)):
        match given:
            case nodes.Assign():
                yield from _sentences(given.node)
            case nodes.CallBlock():
                yield from _shown(given.call)
            case nodes.With():
                for value in given.values:
                    yield from _sentences(value)


def _shown(node: nodes.Node) -> Iterator[str]:
    match node:
        case nodes.Const(value=str(text)):
            yield text
        case nodes.CondExpr(expr1=first, expr2=second):
            yield from _shown(first)
            if second is not None:
                yield from _shown(second)
        case nodes.Or(left=left, right=right):
            yield from _shown(left)
            yield from _shown(right)
        case nodes.Concat(nodes=parts):
            for part in parts:
                yield from _shown(part)
        case nodes.Call(node=nodes.Getattr(node=nodes.Name(name="ui")), args=args, kwargs=kwargs):
            # Names of fields, tones and icons are single words in small letters; what people read is not.
            for each in [*args, *(pair.value for pair in kwargs)]:
                yield from _sentences(each)


def _sentences(node: nodes.Node) -> Iterator[str]:
    yield from (text for text in _shown(node) if re.search(r"[A-Z ]", text) and not re.match(r"[<\[{/$]", text))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in SILENT
        self.texts += [value for name, value in attrs if name in HEARD and value]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in SILENT

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.texts.append(data)
