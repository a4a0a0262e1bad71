"""The documents: every link in them leads somewhere, and every picture is shown with words for who cannot see it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/pouch/**/README.md")]
CODE = re.compile(r"^ *```.*?^ *```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)|<img src=\"(?P<src>[^\"]+)\"[^>]* alt=\"(?P<alt>[^\"]*)\"")
WORDS_MIN = 4


def test_every_link_of_a_document_leads_to_a_file_that_is_there() -> None:
    gone = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for match in LINK.finditer(CODE.sub("", page.read_text(encoding="utf-8")))
        if not (target := match[1] or match[2]).startswith(("https://", "http://", "#", "mailto:"))
        and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert gone == []


def test_every_picture_is_shown_and_described() -> None:
    """The README and the docs use what `bin/shots` takes; each has an alt text that says what is on it."""
    shown = {
        (page.parent / (match[2] or match["src"])).resolve(): match[1] or match["alt"]
        for page in PAGES
        for match in PICTURE.finditer(page.read_text(encoding="utf-8"))
    }
    assert set(shown) == set((ROOT / "docs" / "images").iterdir())
    assert [text for text in shown.values() if len(text.split()) < WORDS_MIN] == []
