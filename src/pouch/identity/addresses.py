"""E-mail addresses: the way a person writes theirs, and the one spelling that all its look-alikes share."""

import unicodedata
from dataclasses import dataclass

import email_validator

from pouch.base.errors import InvalidInput
from pouch.base.languages import say

# Pouch runs inside private networks too, where these names are real. They are mailed through the operator's relay.
for _private in ("local", "localhost", "test"):
    email_validator.SPECIAL_USE_DOMAIN_NAMES.remove(_private)

BYTES_MAX = 254
"""The longest address that mail can carry (RFC 5321)."""

# Scripts that are written together in one word.
_WRITTEN_TOGETHER = (
    frozenset({"CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"CJK", "HANGUL"}),
    frozenset({"CJK", "BOPOMOFO"}),
)
# Lower-case letters of other scripts that look like a Latin one: a word made of nothing else passes for a Latin word.
_PASS_FOR_LATIN = frozenset("асԁеһіјӏорԛѕԝхуѵονιαρυκχγ")
# Letters and marks that are drawn as nothing.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0") | frozenset(
    chr(code) for span in (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)) for code in span
)


@dataclass(frozen=True, slots=True)
class Address:
    """An address that can be mailed (`shown`) and the spelling under which it is unique (`canonical`)."""

    shown: str
    canonical: str


def read_address(text: str) -> Address:
    """Read an address somebody typed.

    Upper case, full-width letters and other compatibility forms, composed and decomposed accents, and both spellings
    of an international domain share one canonical form. Dots and "+tags" before the @ stay: whether they matter is
    known only to the mail host. Raises InvalidInput for what is not an address and for what is made to look like
    another one: letters of several scripts in one word, letters that are drawn as nothing, other scripts' letters
    that together pass for a Latin word.
    """
    typed = text.strip()
    shown = _validated(unicodedata.normalize("NFKC", typed) if len(typed) <= BYTES_MAX else typed)
    folded = _validated(_fold(shown.normalized))
    canonical = f"{folded.local_part}@{folded.ascii_domain}"
    # What would change when it is read once more could be registered twice.
    if _fold(canonical) != canonical or len(canonical.encode()) > BYTES_MAX:
        raise _not_an_address()
    for word in (folded.local_part, *folded.domain.split(".")):
        _refuse_look_alike(word)
    return Address(shown=shown.normalized, canonical=canonical)


def _validated(text: str) -> email_validator.ValidatedEmail:
    try:
        return email_validator.validate_email(
            text,
            check_deliverability=False,
            globally_deliverable=False,
            allow_smtputf8=True,
            allow_quoted_local=False,
            allow_domain_literal=False,
            allow_display_name=False,
            strict=True,
        )
    except email_validator.EmailNotValidError as error:
        raise _not_an_address() from error


def _fold(text: str) -> str:
    # Folding can decompose a letter, so it is composed again.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _refuse_look_alike(word: str) -> None:
    """Refuse a part of an address that would be taken for another one. Expects it folded."""
    foreign = [letter for letter in word if not letter.isascii()]
    if not foreign:
        return
    if any(unicodedata.category(letter)[0] not in "LM" or letter in _INVISIBLE for letter in foreign):
        raise _looks_like_another()
    letters = [letter for letter in word if unicodedata.category(letter).startswith("L")]
    scripts = {unicodedata.name(letter, "UNKNOWN").split()[0] for letter in letters}
    is_one_script = len(scripts) == 1 or any(scripts <= together for together in _WRITTEN_TOGETHER)
    if not is_one_script or all(letter in _PASS_FOR_LATIN for letter in letters):
        raise _looks_like_another()
    if scripts == {"LATIN"} and not all(_is_common_latin(letter) for letter in letters):
        raise _looks_like_another()


def _is_common_latin(letter: str) -> bool:
    # The alphabets of Europe and Vietnam. Beyond them lie phonetic signs such as a second "a" and a second "g"; the
    # dotless i is left out because it turns into an i when written in capitals.
    code = ord(letter)
    return (code <= 0x17F and letter not in "ıĸ") or 0x1E00 <= code <= 0x1EFF or letter in "ơưșțǎǐǒǔǚ"


def _not_an_address() -> InvalidInput:
    return InvalidInput(say("That is not an e-mail address such as alice@example.com."), field="email")


def _looks_like_another() -> InvalidInput:
    return InvalidInput(
        say("This address mixes letters that look alike. Use one that is written in a single alphabet."), field="email"
    )
