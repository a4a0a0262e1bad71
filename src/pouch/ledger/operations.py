"""What can be asked of the ledger, and what it answers. All amounts are nano-dollars."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from uuid import UUID

from pouch.base.ids import derived_id
from pouch.ledger.crossing import TopUp

SystemAccount = Literal[
    "revenue:inference",
    "revenue:agents",
    "revenue:fees",
    "stripe_clearing",
    "stripe_fees",
    "bank",
    "tax_payable",
    "promo",
    "refund_clearing",
    "overrun",
    "writeoff",
]
"""The operator's books, one account of each kind."""


@dataclass(frozen=True, slots=True)
class Receivable:
    """What an organization owes: the account that a refund or dispute of spent credits falls on."""

    organization_id: UUID


Account: TypeAlias = UUID | Receivable | SystemAccount
"""An organization's id names its customer account."""

TransferKind = Literal[
    "purchase",
    "fee",
    "tax",
    "grant",
    "expiry",
    "revoked",
    "inference",
    "overrun",
    "agents",
    "refund",
    "dispute",
    "debt",
    "adjustment",
]
RefusalSource = Literal[
    "blocked", "debt", "run_limit", "task_limit", "key_limit", "member_limit", "organization_limit", "credits"
]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move an amount once. `key` is its idempotency key, for example "pi:pi_123:credit"."""

    key: str
    debit: Account
    credit: Account
    amount_nanos: int
    kind: TransferKind
    cause: UUID | None = None
    note: str = ""

    @property
    def id(self) -> UUID:
        """The transfer's id, which follows from its key."""
        return derived_id(self.key)


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Take bought credits back, because the money for them went back: what is available, and the rest is owed.

    `key` is its idempotency key, for example "refund:re_123".
    """

    key: str
    organization_id: UUID
    to: SystemAccount
    amount_nanos: int
    kind: TransferKind
    cause: UUID | None = None
    note: str = ""

    @property
    def id(self) -> UUID:
        """The id of the transfer from the credits."""
        return derived_id(self.key)

    @property
    def debt_id(self) -> UUID:
        """The id of the transfer from the receivable."""
        return derived_id(f"{self.key}:owed")


@dataclass(frozen=True, slots=True)
class Hold:
    """Set an amount aside. `subjects` are those whose limits and blocks apply: run, key, member, organization."""

    id: UUID
    organization_id: UUID
    amount_nanos: int
    subjects: tuple[UUID, ...] = ()
    lease_id: UUID | None = None
    waits: bool = True
    """Whether it stands in line for credits that others hold. One that has waited before does not."""


@dataclass(frozen=True, slots=True)
class Capture:
    """Charge what the held work cost and give the rest of the hold back."""

    hold: Hold
    cost_nanos: int
    revenue: SystemAccount = "revenue:inference"
    kind: TransferKind = "inference"
    cause: UUID | None = None
    """What the charge is for, when it is not the hold's id itself: a run, or the purchase that is refunded."""
    note: str = ""
    record: object = field(default=None, compare=False)
    """A row of another room, written in the same commit by the writer's `write_records`."""


@dataclass(frozen=True, slots=True)
class Release:
    """Give a hold back without a charge."""

    hold: Hold
    record: object = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Expire:
    """Give back a hold whose process is gone. A late capture may still take what is available then."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class Record:
    """Write another room's row and move no money: a call of a free model."""

    record: object


Operation: TypeAlias = Transfer | TakeBack | Hold | Capture | Release | Expire | Record


@dataclass(frozen=True, slots=True)
class Admitted:
    """The hold stands."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A budget does not allow it. `source` is the first in the order of refusal that does not."""

    source: RefusalSource
    needed_nanos: int
    available_nanos: int
    """What that budget could give now."""
    left_nanos: int
    """What it could give once every open hold is given back."""
    budget: UUID
    """Whose budget: the organization for credits and debt, else the limit's subject."""
    top_up: TopUp = "off"
    """What the organization's auto top-up is about to do, when it is the credits that are lacking."""

    @property
    def may_wait(self) -> bool:
        """Whether it may fit soon: once the open holds are settled, or a top-up has come."""
        return self.left_nanos >= self.needed_nanos or self.awaits_top_up

    @property
    def awaits_top_up(self) -> bool:
        """Whether only a top-up can make it fit, and one is under way or about to be."""
        return self.top_up == "pending" and self.left_nanos < self.needed_nanos


@dataclass(frozen=True, slots=True)
class Captured:
    """The work is paid: `charged_nanos` by the customer, `overrun_nanos` by the operator."""

    charged_nanos: int
    overrun_nanos: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Posted:
    """The transfer stands. `repeated`: it stood before."""

    repeated: bool = False


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The credits are taken: `taken_nanos` from the balance, `owed_nanos` as a debt. `repeated`: they were before."""

    taken_nanos: int
    owed_nanos: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """The hold is given back, or was before."""

    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """The record is written."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The id or key is known with other content, or the hold's state forbids it. Nothing was changed."""

    reason: str


Answer: TypeAlias = Admitted | Refused | Captured | Posted | TakenBack | Closed | Recorded | Mismatch


def debt_payment_id(key: str) -> UUID:
    """The id of the transfer that pays a debt out of the transfer with this key."""
    return derived_id(f"debt:{key}")
