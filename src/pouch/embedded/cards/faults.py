"""Switches that make this processor behave as badly as the real one may. For tests; all off unless set."""

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Faults:
    """Each may be changed while the processor runs."""

    duplicate: int = 0
    """Every event arrives this many times more."""
    delay_s: float = 0
    """Every event arrives this much later."""
    drop: bool = False
    """Events are never sent, and not tried again."""
    reorder: bool = False
    """The newest waiting event is sent first."""
    break_answers: int = 0
    """So many of the next POSTs to the API fail halfway with a 500, which their idempotency key remembers."""
    lose_answers: int = 0
    """So many of the next POSTs do their work, but their answer is lost: the client sees a 502."""
    declines: list[str] = field(default_factory=list)
    """How the next charges of saved cards are declined: codes such as insufficient_funds, one each."""
