"""What an attempt at a run comes to."""

from dataclasses import dataclass

from pouch.agents.engines.types import Finish
from pouch.agents.types import RunState

OUR_FAULTS = frozenset({"internal_error", "save_failed", "gateway_away"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state that a run is left in, and why."""

    state: RunState
    reason: str = ""

    @property
    def is_our_fault(self) -> bool:
        """Whether what its time cost comes back (`giving_back`)."""
        return self.state == "failed" and self.reason in OUR_FAULTS


class Ended(Exception):
    """The attempt has to end here."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


_OUTCOMES: dict[Finish, Outcome] = {
    "finished": Outcome("succeeded"),
    "asks": Outcome("waiting_user", "asks"),
    "out_of_credits": Outcome("paused_no_credit"),
    "timed_out": Outcome("timed_out", "time_limit"),
    "step_limit": Outcome("failed", "step_limit"),
    "repeating": Outcome("failed", "repeating"),
    "stopped": Outcome("failed", "engine_failed"),
    "killed": Outcome("failed", "engine_failed"),
    "failed": Outcome("failed", "engine_failed"),
}


def outcome_of(finish: Finish) -> Outcome:
    """What the end of an agent means, where nothing that we saw ourselves says otherwise."""
    return _OUTCOMES[finish]
