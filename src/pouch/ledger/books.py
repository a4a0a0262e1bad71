"""What a batch may touch, as the rules of the ledger see it: read under lock, changed by judging, then written."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from pouch.ledger.crossing import CrossingRow, ThresholdRow
from pouch.ledger.operations import TransferKind

HoldState = Literal["open", "captured", "released", "expired"]
LimitKind = Literal["run", "task", "key", "member", "organization"]
Period = Literal["day", "week", "month", "ever"]

EVER = datetime(1970, 1, 1, tzinfo=UTC)
"""When the period began that never ends."""


@dataclass(slots=True)
class AccountRow:
    """An organization's account as it is under lock."""

    id: int
    balance: int
    held: int
    changed: bool = False


@dataclass(slots=True)
class LimitRow:
    """A limit as it is under lock. What is left is cap - spent."""

    id: int
    subject: UUID
    kind: LimitKind
    period: Period
    cap: int
    spent: int
    held: int
    period_start: datetime
    changed: bool = False


@dataclass(slots=True)
class HoldRow:
    """A hold as it is under its account's lock."""

    account_id: int
    amount: int
    state: HoldState
    lease_id: UUID | None
    limit_ids: tuple[int, ...]
    placed_at: datetime
    captured: int = 0
    overrun: int = 0


@dataclass(slots=True)
class TransferRow:
    """A transfer as stored, or about to be."""

    id: UUID
    debit_id: int
    credit_id: int
    amount: int
    kind: TransferKind
    customer_id: int | None
    balance_after: int | None
    cause: UUID | None
    note: str

    def same_as(self, other: "TransferRow") -> bool:
        """Whether both say the same; the balance after belongs to the moment, not to the content."""
        return (self.debit_id, self.credit_id, self.amount, self.kind, self.cause) == (
            other.debit_id,
            other.credit_id,
            other.amount,
            other.kind,
            other.cause,
        )


@dataclass(slots=True)
class Books:
    """All that a batch may touch, read under lock, and what judging it changes."""

    at: datetime
    customers: dict[UUID, AccountRow]
    receivables: dict[UUID, AccountRow] = field(default_factory=dict)
    limits: dict[UUID, list[LimitRow]] = field(default_factory=dict)
    blocked: frozenset[UUID] = frozenset()
    holds: dict[UUID, HoldRow] = field(default_factory=dict)
    transfers: dict[UUID, TransferRow] = field(default_factory=dict)
    thresholds: dict[UUID, ThresholdRow] = field(default_factory=dict)

    new_holds: list[UUID] = field(default_factory=list)
    closed_holds: list[UUID] = field(default_factory=list)
    new_transfers: list[TransferRow] = field(default_factory=list)
    new_crossings: list[CrossingRow] = field(default_factory=list)
    queued: set[UUID] = field(default_factory=set)
    """Budgets that an earlier hold of this batch waits for."""
