"""Reading a catalogue of translations: a `.po` file of gettext, as every translator's program writes it."""

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from gettext import c2py
from typing import Self

_PLURAL = re.compile(r"plural\s*=\s*([^;]+)")
_FIELD = re.compile(r'(msgctxt|msgid_plural|msgid|msgstr(?:\[[0-9]\])?)?\s*(".*")')


def _as_in_english(count: int) -> int:
    return int(count != 1)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One language. `texts` has, for each English text, its translation: one, or one for each plural form."""

    code: str
    texts: Mapping[str, tuple[str, ...]]
    plural: Callable[[int], int] = _as_in_english

    @classmethod
    def read(cls, code: str, text: str) -> Self:
        """Read a `.po` file. Entries that are empty, or marked fuzzy, are left out: there the English text stands.

        Raises ValueError for what is no such file.
        """
        texts: dict[str, tuple[str, ...]] = {}
        plural: Callable[[int], int] = _as_in_english
        for entry in entries(text):
            if not entry.message:
                if found := _PLURAL.search(entry.translations[0]):
                    plural = c2py(found[1])
            elif not entry.is_fuzzy and all(entry.translations):
                texts[entry.message] = entry.translations
        return cls(code, texts, plural)

    def gettext(self, message: str) -> str:
        """The translation, or the English text where there is none."""
        found = self.texts.get(message)
        return found[0] if found else message

    def ngettext(self, one: str, many: str, count: int) -> str:
        """The same for a text that depends on a number."""
        found = self.texts.get(one)
        if found is None or len(found) == 1:
            return one if count == 1 else many
        return found[min(self.plural(count), len(found) - 1)]


@dataclass(frozen=True, slots=True)
class Entry:
    """One text of a `.po` file."""

    message: str
    plural: str | None
    translations: tuple[str, ...]
    is_fuzzy: bool = False


def entries(text: str) -> list[Entry]:
    """All entries of a `.po` file in their order; the first with the message "" is the head of the file."""
    return [_entry(block) for block in re.split(r"\n\s*\n", text.strip()) if re.search(r"^msgid", block, re.MULTILINE)]


def _entry(block: str) -> Entry:
    values: dict[str, str] = {}
    name = ""
    is_fuzzy = False
    for line in block.splitlines():
        if line.startswith("#"):
            is_fuzzy |= line.startswith("#,") and "fuzzy" in line
            continue
        found = _FIELD.fullmatch(line.strip())
        if found is None or not (found[1] or name):
            raise ValueError(f"This is no line of a catalogue: {line[:80]}")
        name = found[1] or name
        # Its escapes are those of a Python text, and this reads nothing but literals.
        values[name] = values.get(name, "") + str(ast.literal_eval(found[2]))
    translations = tuple(value for key, value in sorted(values.items()) if key.startswith("msgstr"))
    if not translations:
        raise ValueError(f"This text has no place for its translation: {block[:80]}")
    return Entry(values.get("msgid", ""), values.get("msgid_plural"), translations, is_fuzzy)
