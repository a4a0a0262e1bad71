"""What letters say: each kind has a text and an HTML template, in the room that writes it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, TemplateError, meta, select_autoescape

from pouch.base import languages
from pouch.base.compiled import compiled_templates

SUBJECT_CHARACTERS_MAX = 200
_SUBJECT = "Subject:"
# Control characters and Unicode's own line ends.
_NOT_IN_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Words:
    """A letter in words, ready to be put into an envelope."""

    subject: str
    text: str
    html: str


class Templates:
    """Finds `mail/<kind>.txt` and `mail/<kind>.html` in a list of (package, folder) pairs.

    The first line of the text is "Subject: …". Templates see the letter's context and `to`, `site_name`, `site_url`
    (without a trailing slash) and `support_email` (None when there is none); the HTML also sees `subject`. A name that
    is not there is an error, never an empty place in a letter.
    """

    def __init__(
        self,
        places: Sequence[tuple[str, str]] = (),
        *,
        site_name: str,
        site_url: str,
        support_email: str | None = None,
        language: str = "en",
    ) -> None:
        own = PackageLoader("pouch.mail", "templates")
        self._sources = ChoiceLoader([own, *(PackageLoader(package, folder) for package, folder in places)])
        self._environment = Environment(
            loader=self._sources,
            autoescape=select_autoescape(("html",), default=False),
            extensions=["jinja2.ext.i18n"],
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            bytecode_cache=compiled_templates(),
        )
        made = self._environment
        made.policies["ext.i18n.trimmed"] = True
        made.install_gettext_callables(languages.gettext, languages.ngettext, newstyle=True)  # type: ignore[attr-defined]  # the extension adds it
        made.globals["language"] = languages.language
        self._language = language
        self._site = {"site_name": site_name, "site_url": site_url, "support_email": support_email}

    def kinds(self) -> list[str]:
        """Every kind of letter that there are templates of."""
        names = self._environment.list_templates(
            filter_func=lambda name: name.startswith("mail/") and name.endswith(".txt")
        )
        return sorted(name.removeprefix("mail/").removesuffix(".txt") for name in names)

    def names_in(self, kind: str) -> set[str]:
        """What the templates of a kind show, beside what every letter has."""
        found = self._names_in(f"mail/{kind}.txt") | self._names_in(f"mail/{kind}.html")
        return found - {*self._site, "to", "subject", "_", "gettext", "ngettext", "language"}

    def _names_in(self, template: str) -> set[str]:
        """The names in a template, and in those that it is made of."""
        source, *_ = self._sources.get_source(self._environment, template)
        parsed = self._environment.parse(source)
        parts = [self._names_in(part) for part in meta.find_referenced_templates(parsed) if part is not None]
        return meta.find_undeclared_variables(parsed).union(*parts)

    def render(self, kind: str, *, to: str, context: Mapping[str, str]) -> Words:
        """Put a letter into words. Raises jinja2.TemplateError for what is missing, in the folder or in the context."""
        with languages.speaking(self._language):
            return self._render(kind, {**self._site, **context, "to": to})

    def _render(self, kind: str, frame: Mapping[str, object]) -> Words:
        first, _, text = self._environment.get_template(f"mail/{kind}.txt").render(frame).partition("\n")
        if not first.startswith(_SUBJECT):
            raise TemplateError(f'mail/{kind}.txt does not begin with "{_SUBJECT}"')
        subject = _NOT_IN_A_LINE.sub(" ", first.removeprefix(_SUBJECT)).strip()[:SUBJECT_CHARACTERS_MAX]
        html = self._environment.get_template(f"mail/{kind}.html").render({**frame, "subject": subject})
        return Words(subject=subject, text=f"{text.strip()}\n", html=html)
