"""How long a call waits for whom."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """The limits of one process, in seconds. For an upstream that falls silent see `upstream.SILENCE_MAX_S`."""

    body_s: float = 30
    """For the caller's whole body."""
    stall_s: float = 60
    """A caller who does not read for this long is treated as gone."""
    drain_s: float = 60
    """How long the rest of an answer is read for its usage after the caller has left, where output is not visible."""
    call_s: float = 3600
    """No call runs longer."""
    loop_s: float = 1
    """The unit of the waits that slow a task which goes round in circles, see `loops`."""
    look_every_s: float = 5
    """How often callers who do not read and calls without end are looked for."""
