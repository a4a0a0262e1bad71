"""Why a code is not taken.

PouchError
├── UnknownCode   404  there is no such code, or the person cannot be told about it
└── CodeNotGood   409  there is, and it is not good for this person now; the message says why
"""

from pouch.base.errors import Conflict, NotFound


class UnknownCode(NotFound):
    """There is no such code."""

    code = "unknown_code"

    def __init__(self) -> None:
        super().__init__("This code is not known here. Check each character.")


class CodeNotGood(Conflict):
    """The code is known, and cannot be redeemed by this person now."""

    code = "code_not_good"
