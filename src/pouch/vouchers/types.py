"""A voucher as operators see it, and what one becomes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pouch.base.ids import show_id
from pouch.base.money import Money

VoucherState = Literal["waiting", "good", "used up", "over", "voided"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator asks for. `valid_from` None means from now on."""

    amount: Money
    note: str
    uses_max: int = 1
    per_person_max: int = 1
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    credits_days: int | None = None


@dataclass(frozen=True, slots=True)
class Voucher:
    """A voucher without its code. `hint` is the code's last four characters."""

    id: UUID
    hint: str
    amount: Money
    uses_max: int
    used: int
    per_person_max: int
    valid_from: datetime
    valid_until: datetime | None
    credits_days: int | None
    note: str
    made_by: str
    created_at: datetime
    voided_at: datetime | None
    batch_id: UUID | None = None
    """With which others it was made at the desk."""

    @property
    def shown_id(self) -> str:
        """The id as operators see it."""
        return show_id("vou", self.id)

    def state(self, now: datetime) -> VoucherState:
        """Whether its code can be redeemed, and why not."""
        if self.voided_at is not None:
            return "voided"
        if self.used >= self.uses_max:
            return "used up"
        if self.valid_until is not None and self.valid_until <= now:
            return "over"
        return "waiting" if self.valid_from > now else "good"


@dataclass(frozen=True, slots=True)
class Redemption:
    """A voucher that became credits."""

    id: UUID
    amount: Money
    note: str
    expires_at: datetime | None
    repeated: bool
    """Whether the same form or request had redeemed it before."""
