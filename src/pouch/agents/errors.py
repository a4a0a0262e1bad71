"""What agents refuse.

PouchError
├── InvalidInput          400  a field of the start form
├── NotEnoughCredits      402  less than a minute and a first call
├── NoAgentsHere          503  no worker is there to run it
├── StartedDifferently    409  the same start key asked for another run
├── WrongState            409  the run is not in the state this needs
└── Fenced                     the worker lost the run; it stops at once and writes nothing
"""

from typing import ClassVar

from pouch.base.errors import Conflict, PouchError, Unavailable
from pouch.base.money import Money


class NotEnoughCredits(PouchError):
    """A run needs its first minute and a first call."""

    code: ClassVar[str] = "insufficient_credits"
    status: ClassVar[int] = 402

    def __init__(self, *, needed: Money, available: Money) -> None:
        super().__init__(
            f"A run starts with at least {_shown(needed)} available; you have {_shown(available)}. Buy credits first."
        )
        self.needed = needed
        self.available = available


class NoAgentsHere(Unavailable):
    """Nobody runs agents on this Pouch at the moment."""

    code = "no_agents_here"

    def __init__(self) -> None:
        super().__init__("Agents cannot run here at the moment: no worker is ready for them.", retry_after_s=30)


class StartedDifferently(Conflict):
    """The key of this start was used for another run."""

    code = "idempotency_key_reused"


class WrongState(Conflict):
    """The run is not in the state that this needs."""

    code = "wrong_state"


class Fenced(Exception):
    """This worker's claim on the run is over."""


def _shown(amount: Money) -> str:
    return f"${amount.decimal().rstrip('0').rstrip('.')}"
