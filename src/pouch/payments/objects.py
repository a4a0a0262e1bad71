"""Those parts of the card processor's refunds, disputes and warnings that Pouch reads. Amounts are cents."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from pouch.base.money import Money
from pouch.payments.types import CURRENCY, Event


@dataclass(frozen=True, slots=True)
class RefundObject:
    """A refund as the processor tells it."""

    id: str
    amount: int
    currency: str
    status: str | None = None
    charge: str | None = None
    payment_intent: str | None = None
    metadata: dict[str, str] | None = None
    reason: str | None = None
    failure_reason: str | None = None
    created: int = 0

    @property
    def mark(self) -> str:
        """Our refund's id, when it was made by us."""
        return (self.metadata or {}).get("refund", "")

    @property
    def is_failed(self) -> bool:
        """Whether the money stayed, or came back."""
        return self.status in {"failed", "canceled"}

    @property
    def is_final(self) -> bool:
        """Whether the card has it. Even then it may come back."""
        return self.status == "succeeded"


_WENT_BACK: dict[str, Literal["refund", "dispute", "payment"]] = {
    "refund": "refund",
    "refund_failure": "refund",
    "dispute": "dispute",
    "dispute_reversal": "dispute",
    "charge_failure": "payment",
}


@dataclass(frozen=True, slots=True)
class SourceObject:
    """The charge, refund or dispute behind a balance transaction, as far as it leads to its payment."""

    id: str
    payment_intent: str | None = None


@dataclass(frozen=True, slots=True)
class MovementObject:
    """A balance transaction: what came or went, and the fee kept of it."""

    id: str
    amount: int
    fee: int = 0
    net: int = 0
    type: str = ""
    reporting_category: str = ""
    created: int = 0
    source: SourceObject | str | None = None
    currency: str = CURRENCY
    """In which the account settles, whatever the card was charged in."""

    @property
    def is_dollars(self) -> bool:
        """Whether its amounts are US dollars. Others are never taken for such."""
        return self.currency == CURRENCY

    @property
    def source_id(self) -> str:
        """What caused it."""
        return self.source.id if isinstance(self.source, SourceObject) else self.source or ""

    @property
    def kind(self) -> Literal["refund", "dispute", "payment"] | None:
        """What went back, or came back again. None for everything else."""
        return _WENT_BACK.get(self.reporting_category)

    @property
    def payment_id(self) -> str | None:
        """The payment it belongs to, where the cause says so."""
        return self.source.payment_intent if isinstance(self.source, SourceObject) else None


@dataclass(frozen=True, slots=True)
class EvidenceObject:
    """Until when somebody may answer a dispute."""

    due_by: int | None = None


@dataclass(frozen=True, slots=True)
class DisputeObject:
    """A dispute as the processor tells it. Its balance transactions say what was withdrawn, whatever its status.

    Where they are in another currency they only say that it was, and whether all of it: so much is the disputed amount.
    """

    id: str
    amount: int
    currency: str
    status: str
    reason: str = ""
    charge: str | None = None
    payment_intent: str | None = None
    balance_transactions: list[MovementObject] = field(default_factory=list)
    evidence_details: EvidenceObject | None = None
    created: int = 0

    @property
    def is_closed(self) -> bool:
        """Whether it is decided."""
        return self.status in {"won", "lost", "warning_closed", "prevented"}

    @property
    def withdrawn(self) -> Money:
        """What was taken from the operator's balance for it."""
        taken = [each for each in self.balance_transactions if each.amount < 0]
        if all(each.is_dollars for each in taken):
            return Money.from_cents(sum(-each.amount for each in taken))
        return Money.from_cents(self.amount * len(taken))

    @property
    def reinstated(self) -> Money:
        """What was given back: all of it once it is won, even before the movement is there to see."""
        if self.status == "won":
            return self.withdrawn
        back = [each for each in self.balance_transactions if each.amount > 0]
        if all(each.is_dollars for each in back):
            return min(Money.from_cents(sum(each.amount for each in back)), self.withdrawn)
        return min(Money.from_cents(self.amount * len(back)), self.withdrawn)

    @property
    def evidence_due_at(self) -> datetime | None:
        """Until when the operator may answer."""
        due_by = self.evidence_details.due_by if self.evidence_details else None
        return datetime.fromtimestamp(due_by, UTC) if due_by else None


@dataclass(frozen=True, slots=True)
class WarningObject:
    """An early fraud warning."""

    id: str
    charge: str
    payment_intent: str | None = None
    fraud_type: str = ""
    actionable: bool = False
    created: int = 0


@dataclass(frozen=True, slots=True)
class ChargeObject:
    """A charge, as far as it leads to its payment."""

    id: str
    payment_intent: str | None = None


@dataclass(frozen=True, slots=True)
class MoneyBack:
    """Everything that the processor knows to have gone back, or to be about to, for one payment; oldest first."""

    refunds: tuple[RefundObject, ...] = ()
    disputes: tuple[DisputeObject, ...] = ()


@dataclass(frozen=True, slots=True)
class _About:
    id: str = ""


@dataclass(frozen=True, slots=True)
class _Data:
    object: _About = field(default_factory=_About)


@dataclass(frozen=True, slots=True)
class EventObject:
    """An event as the list of events tells it."""

    id: str
    type: str
    created: int
    livemode: bool = False
    account: str | None = None
    data: _Data = field(default_factory=_Data)

    @property
    def event(self) -> Event:
        """The same as if it had been delivered. It was fetched with our key, so it needs no signature."""
        return Event(
            id=self.id,
            type=self.type,
            object_id=self.data.object.id,
            account=self.account or "",
            livemode=self.livemode,
            occurred_at=datetime.fromtimestamp(self.created, UTC),
        )
