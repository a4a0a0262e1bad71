"""What the ledger refuses.

PouchError
├── Refusal             402  a budget does not allow it; `refused` says which and by how much
├── PostingMismatch     409  a key or id came again with other content
└── LedgerBusy          503  the database is behind; nothing was held
"""

from typing import ClassVar

from pouch.base.errors import Conflict, PouchError, Unavailable
from pouch.base.money import Money
from pouch.ledger.operations import Refused


class Refusal(PouchError):
    """A budget does not allow it: the account's credits, a limit, a debt or a block."""

    code: ClassVar[str] = "insufficient_credits"
    status: ClassVar[int] = 402

    def __init__(self, refused: Refused) -> None:
        super().__init__(
            f"This needs up to {Money(refused.needed_nanos)}; "
            f"{Money(refused.available_nanos)} is available ({refused.source})."
        )
        self.refused = refused


class PostingMismatch(Conflict):
    """An idempotency key was used before for something else. Nothing was posted."""

    code = "posting_mismatch"


class LedgerBusy(Unavailable):
    """The database does not keep up. Nothing was held; the same request may be sent again."""

    code = "ledger_busy"

    def __init__(self) -> None:
        super().__init__(
            "Credits cannot be checked right now. Nothing was charged; try again in a second.", retry_after_s=1
        )
