"""Codes: 80 random bits in letters that nobody mixes up, or a word of the operator's own."""

import hashlib
import re
import secrets

from pouch.base.errors import InvalidInput

LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: without I, L, O and U."""
GROUPS, GROUP_LENGTH = 4, 4
LENGTH_MIN, LENGTH_MAX = 6, 40
_ALIKE = str.maketrans("ILOU", "110V")
_BETWEEN = re.compile(r"[\s\-_.]+")
_READABLE = re.compile(rf"[{LETTERS}]{{{LENGTH_MIN},{LENGTH_MAX}}}")


def new_code() -> str:
    """A code that cannot be guessed: "7K3D-Q0XA-M2BV-94TZ"."""
    groups = ("".join(secrets.choice(LETTERS) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))
    return "-".join(groups)


def read_code(text: str) -> str | None:
    """The letters and digits of a code, however it was typed. None for what no code can look like."""
    folded = _BETWEEN.sub("", text[:200].upper()).translate(_ALIKE)
    return folded if _READABLE.fullmatch(folded) else None


def hash_code(code: str) -> bytes:
    """What the database keeps of a code that `read_code` read."""
    return hashlib.sha256(f"voucher:{code}".encode()).digest()


def check_own_code(text: str) -> str:
    """A code that an operator chose. Raises InvalidInput when nobody could type it."""
    code = read_code(text)
    if code is None:
        raise InvalidInput(
            f"A code is {LENGTH_MIN} to {LENGTH_MAX} letters and digits; dashes and spaces do not count.", field="code"
        )
    return code
