"""The rule of an organization, and one attempt to top up."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pouch.base.ids import show_id
from pouch.base.money import Money

RuleState = Literal["off", "armed", "paused", "suspended"]
Pause = Literal["", "card_refused", "declined", "needs_confirmation", "no_card", "suspended"]
AttemptState = Literal[
    "created", "submitted", "unknown", "credited", "needs_action", "recovered", "declined", "not_tried"
]
UNDER_WAY: frozenset[AttemptState] = frozenset({"created", "submitted", "unknown"})
"""The states in which a charge may still happen. There is one such attempt per organization at most."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person sets: buy when there is less than `threshold`, so much at a time or up to a target, and no more.

    Exactly one of `amount` and `target` is there.
    """

    threshold: Money
    amount: Money | None
    target: Money | None
    cap: Money
    daily_max: int


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule as it is."""

    organization_id: UUID
    state: RuleState
    pause: Pause
    reason: str
    wish: Wish
    person_id: UUID
    email: str
    failures: int
    wait_until: datetime | None
    blocked_fingerprint: str
    version: int
    changed_at: datetime

    @property
    def is_on(self) -> bool:
        """Whether a person wants it, whatever keeps it from charging."""
        return self.state != "off"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt. Its id is its purchase's."""

    id: UUID
    organization_id: UUID
    state: AttemptState
    amount: Money
    """The credits; fee and tax come on top."""
    fee: Money
    tax: Money
    balance: Money
    pending: Money
    card_name: str
    fingerprint: str
    code: str
    reason: str
    created_at: datetime
    submitted_at: datetime | None
    ended_at: datetime | None
    confirm_until: datetime | None

    @property
    def shown_id(self) -> str:
        """The id as people, programs and the card processor see it."""
        return show_id("top", self.id)

    @property
    def charged(self) -> Money:
        """What the card is charged."""
        return self.amount + self.fee + self.tax

    @property
    def is_under_way(self) -> bool:
        """Whether it may still charge."""
        return self.state in UNDER_WAY
