"""Texts in the language of whoever reads them: English as it stands in the source, others from `pouch/languages/`.

The language is a fact of the request, like its time: `web` sets it from Accept-Language, `mail` from the settings, and
whoever writes a sentence for a person writes `say("…")`. Where nobody set it, and for programs, it is English.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.resources import files

from pouch.base.catalogues import Catalogue

ENGLISH = Catalogue("en", {})
_PREFERENCES_MAX = 20
_PREFERENCE = re.compile(r"([a-z]{1,8}(?:-[a-z0-9]{1,8})*)(?:\s*;\s*q=([01](?:\.[0-9]{0,3})?))?", re.ASCII)
_current: ContextVar[Catalogue] = ContextVar("language", default=ENGLISH)


def say(message: str, **values: object) -> str:
    """A sentence in the reader's language. `%(name)s` in it is filled with the value of that name."""
    text = _current.get().gettext(message)
    return text % values if values else text


def later(message: str) -> str:
    """Mark a text of a table for translation; the template that shows it says it."""
    return message


def gettext(message: str) -> str:
    """What templates call as `_`."""
    return _current.get().gettext(message)


def ngettext(one: str, many: str, count: int) -> str:
    """What templates call for `{% pluralize %}`."""
    return _current.get().ngettext(one, many, count)


def language() -> str:
    """The code of the language that is spoken now, for the `lang` of a page."""
    return _current.get().code


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Speak a language that is installed, for the length of the block."""
    token = _current.set(installed()[code])
    try:
        yield
    finally:
        _current.reset(token)


@cache
def installed() -> Mapping[str, Catalogue]:
    """Every language there is a catalogue of, and English."""
    folder = files("pouch") / "languages"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".po")]
    read = [Catalogue.read(entry.name.removesuffix(".po"), entry.read_text(encoding="utf-8")) for entry in found]
    return {ENGLISH.code: ENGLISH, **{each.code: each for each in read}}


def choose(accepted: str, default: str) -> str:
    """The installed language that fits an Accept-Language header best; `default` when none does.

    "de-AT" is content with "de". What cannot be read is left out: a header is what anybody may send.
    """
    parts = (part.strip() for part in accepted.lower().split(",")[:_PREFERENCES_MAX])
    wishes = [(float(found[2] or 1), found[1]) for part in parts if (found := _PREFERENCE.fullmatch(part))]
    for weight, wish in sorted(wishes, key=lambda wish: -wish[0]):
        if not weight:
            break
        for code in (wish, wish.partition("-")[0]):
            if code in installed():
                return code
    return default
