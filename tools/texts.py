"""Gathers the texts that are marked for translation, and brings the catalogues up to date with them."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment

from pouch.base.catalogues import Entry, entries

SOURCE = Path(__file__).parents[1] / "src" / "pouch"
LANGUAGES = SOURCE / "languages"
MODULE = "pouch.base.languages"
MARKS = {"say", "later"}
HEAD = "Content-Type: text/plain; charset=UTF-8\n"

Texts = dict[str, str | None]
"""Each text, and its plural if it has one."""


def main(arguments: list[str]) -> int:
    """Write what has changed; with --check only say so."""
    texts = dict(sorted(gathered().items()))
    files = {LANGUAGES / "texts.pot": template(texts)}
    for file in sorted(LANGUAGES.glob("*.po")):
        files[file] = renewed(entries(file.read_text(encoding="utf-8")), texts)
    changed = [file for file, text in files.items() if not file.exists() or file.read_text(encoding="utf-8") != text]
    for file in changed:
        print(f"{file.name}: {'out of date; run bin/texts' if '--check' in arguments else 'written'}")
        if "--check" not in arguments:
            file.write_text(files[file], encoding="utf-8")
    for file, text in files.items():
        done = [entry for entry in entries(text) if entry.message and all(entry.translations)]
        print(f"{file.name}: {len(done)} of {len(texts)} texts are translated")
    return 1 if changed and "--check" in arguments else 0


def gathered() -> Texts:
    """Every marked text of all templates and modules."""
    found: Texts = {}
    for file in sorted(SOURCE.rglob("*.py")):
        found |= dict.fromkeys(in_module(file.read_text(encoding="utf-8"), str(file)))
    for file in sorted([*SOURCE.rglob("templates/**/*.html"), *SOURCE.rglob("templates/**/*.txt")]):
        for message, plural in in_template(file.read_text(encoding="utf-8")):
            found[message] = plural or found.get(message)
    return found


def in_module(text: str, name: str) -> Iterator[str]:
    """The texts in `say("…")` and `later("…")`. Raises SystemExit for one that is put together: nobody can find it."""
    tree = ast.parse(text)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == MODULE]
    marks = MARKS & {alias.name for node in imports for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in marks and node.args:
            match node.args[0]:
                case ast.Constant(value=str(message)):
                    yield message
                case ast.JoinedStr() | ast.BinOp():
                    raise SystemExit(f"{name}:{node.lineno}: a text to translate must stand there as it is")


def in_template(text: str) -> Iterator[tuple[str, str | None]]:
    """The texts in `_("…")` and `{% trans %}`, each with its plural."""
    environment = Environment(autoescape=True, extensions=["jinja2.ext.i18n"])
    environment.policies["ext.i18n.trimmed"] = True
    environment.newstyle_gettext = True  # type: ignore[attr-defined]  # the extension's own switch
    found = environment.extract_translations(text)  # type: ignore[attr-defined]  # the extension adds it
    for _line, _function, message in found:
        singular, *plural = message if isinstance(message, tuple) else (message,)
        if singular is not None:  # else it is a word of a table, which is marked there
            yield singular, next((each for each in plural if isinstance(each, str)), None)


def template(texts: Texts) -> str:
    """The catalogue to begin a new language with."""
    return written(HEAD, [Entry(message, plural, ("", "") if plural else ("",)) for message, plural in texts.items()])


def renewed(old: list[Entry], texts: Texts) -> str:
    """A catalogue with exactly the texts that there are. What was translated stays; what is gone is dropped."""
    known = {entry.message: entry for entry in old}
    forms = max((len(entry.translations) for entry in old), default=1)
    new = []
    for message, plural in texts.items():
        entry = known.get(message)
        empty = ("",) * (max(forms, 2) if plural else 1)
        fits = entry is not None and bool(entry.plural) == bool(plural)
        said = entry.translations if entry and fits else empty
        new.append(Entry(message, plural, said, is_fuzzy=entry is not None and entry.is_fuzzy))
    return written(known[""].translations[0] if "" in known else HEAD, new)


def written(head: str, new: list[Entry]) -> str:
    """The text of a `.po` file."""
    blocks = ['msgid ""\nmsgstr ""\n' + "\n".join(quoted(f"{line}\n") for line in head.splitlines())]
    for entry in new:
        lines = ["#, fuzzy"] if entry.is_fuzzy else []
        if "%(" in entry.message:
            lines.append("#, python-format")
        lines.append(f"msgid {quoted(entry.message)}")
        if entry.plural:
            lines.append(f"msgid_plural {quoted(entry.plural)}")
            lines += [f"msgstr[{number}] {quoted(text)}" for number, text in enumerate(entry.translations)]
        else:
            lines.append(f"msgstr {quoted(entry.translations[0])}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def quoted(text: str) -> str:
    """A text as it stands in a catalogue."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
