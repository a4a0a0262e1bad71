"""When a balance has fallen below its threshold: the rule, without a database.

In words. An organization may have a threshold. It is **crossed** when its posted balance, open holds not counted, plus
the payments under way is below it. That is judged after a capture and when a hold is refused for credits, never after
a refund, an expiry, a dispute or any other transfer; switching on judges it, too (`thresholds`). While one crossing is
open there is no second, and a paused threshold is not crossed at all. A hold that is refused for credits may wait when
a crossing is open that will be answered soon: the threshold is armed.
"""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

ThresholdState = Literal["armed", "resting", "paused"]
CrossingCause = Literal["capture", "refusal", "switched_on"]
TopUp = Literal["off", "armed", "pending", "paused"]
"""What a refused caller is told: pending, one is under way and may be waited for. armed: on, and nothing is due.
paused: on, and none comes soon."""


@dataclass(slots=True)
class ThresholdRow:
    """A threshold as it is while its account is locked."""

    state: ThresholdState
    threshold: int
    pending: int
    is_crossed: bool


@dataclass(frozen=True, slots=True)
class CrossingRow:
    """A crossing that is about to be written."""

    organization_id: UUID
    cause: CrossingCause
    balance: int
    pending: int
    threshold: int


def judge_crossing(
    row: ThresholdRow | None, organization_id: UUID, balance: int, cause: CrossingCause
) -> CrossingRow | None:
    """The crossing that this balance makes, if it makes one; the row remembers that there is one now."""
    if row is None or row.is_crossed or row.state == "paused" or balance + row.pending >= row.threshold:
        return None
    row.is_crossed = True
    return CrossingRow(organization_id, cause, balance, row.pending, row.threshold)


def top_up_of(row: ThresholdRow | None) -> TopUp:
    """Whether somebody who lacks credits can count on a top-up."""
    if row is None:
        return "off"
    if row.state != "armed":
        return "paused"
    return "pending" if row.is_crossed else "armed"
