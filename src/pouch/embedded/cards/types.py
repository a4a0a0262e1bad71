"""The rows of the embedded processor. Ids and words are Stripe's; amounts are whole US cents."""

import secrets
import string
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, TypeAlias

API_VERSION = "2026-10-28.endive"
"""The version of Stripe's API whose shapes we speak; events are stamped with it."""

CURRENCY = "usd"

Json: TypeAlias = dict[str, object]
Metadata: TypeAlias = dict[str, str]

MethodType = Literal["card", "us_bank_account"]
IntentStatus = Literal[
    "requires_payment_method", "requires_confirmation", "requires_action", "processing", "succeeded", "canceled"
]

SetupStatus = Literal["requires_payment_method", "requires_confirmation", "requires_action", "succeeded", "canceled"]

_LETTERS = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24) -> str:
    """A random id as Stripe writes them: "pi_" and letters and digits."""
    return f"{prefix}_{''.join(secrets.choice(_LETTERS) for _ in range(length))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What every stored object has. `TABLE` is where it lives; the fields are that table's columns."""

    TABLE: ClassVar[str]

    id: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked(Row):
    """What the shop can write words of its own on."""

    metadata: Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Try(Marked):
    """What somebody is about to do with a card, from its beginning to its end."""

    client_secret: str
    customer_id: str | None
    method_id: str | None
    description: str | None
    last_error: Json | None
    canceled_at: datetime | None
    cancellation_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Back(Marked):
    """Money of a charge that goes back."""

    charge_id: str
    intent_id: str
    amount_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer(Marked):
    """Somebody who pays."""

    TABLE: ClassVar[str] = "cards_customers"

    email: str | None
    name: str | None
    description: str | None
    default_method_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(Marked):
    """A test card or test bank account that somebody used; `card_name` says which of `cards.CARDS` it is."""

    TABLE: ClassVar[str] = "cards_methods"

    customer_id: str | None
    type: MethodType
    card_name: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    fingerprint: str
    is_set_up: bool
    email: str | None
    is_spent: bool = False
    """It was taken off its customer and can never be used again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent(Try):
    """One payment."""

    TABLE: ClassVar[str] = "cards_intents"

    amount_cents: int
    status: IntentStatus
    latest_charge_id: str | None
    setup_future_usage: str | None
    receipt_email: str | None
    settle_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup(Try):
    """A card being saved without paying."""

    TABLE: ClassVar[str] = "cards_setups"

    status: SetupStatus
    usage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge(Marked):
    """One try to move the money of a payment."""

    TABLE: ClassVar[str] = "cards_charges"

    intent_id: str
    customer_id: str | None
    method_id: str
    method_details: Json
    amount_cents: int
    amount_refunded_cents: int
    status: Literal["pending", "succeeded", "failed"]
    failure_code: str | None
    failure_message: str | None
    decline_code: str | None
    advice_code: str | None
    email: str | None
    description: str | None
    receipt_url: str
    is_disputed: bool = False
    movement_id: str | None = None
    trouble_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(Marked):
    """One visit to the hosted page, to pay or to save a card."""

    TABLE: ClassVar[str] = "cards_sessions"

    mode: Literal["payment", "setup"] = "payment"
    setup_id: str | None = None

    expires_at: datetime
    status: Literal["open", "complete", "expired"]
    payment_status: Literal["unpaid", "paid", "no_payment_required"]
    amount_cents: int
    """All that is paid, `tax_cents` among it."""
    line_items: list[Json]
    method_types: list[str]
    customer_id: str | None
    makes_customer: bool
    email: str | None
    client_reference_id: str | None
    intent_id: str | None
    intent_metadata: Metadata
    intent_description: str | None
    receipt_email: str | None
    setup_future_usage: str | None
    url: str
    success_url: str
    cancel_url: str | None
    computes_tax: bool
    tax_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Row):
    """Something that happened, with the object as it was then."""

    TABLE: ClassVar[str] = "cards_events"

    type: str
    object: Json


RefundStatus = Literal["pending", "succeeded", "failed", "canceled"]
DisputeStatus = Literal[
    "warning_needs_response", "warning_under_review", "warning_closed", "needs_response", "under_review", "won", "lost"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund(Back):
    """Money going back to a card. `settles_to` and `settle_at`: how its bank will end it, when it is not final."""

    TABLE: ClassVar[str] = "cards_refunds"

    status: RefundStatus
    reason: str | None
    failure_reason: str | None = None
    settles_to: Literal["succeeded", "failed"] | None = None
    settle_at: datetime | None = None
    movement_id: str
    failure_movement_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute(Back):
    """A cardholder's objection; `movements` are the balance transactions that it caused, as shown."""

    TABLE: ClassVar[str] = "cards_disputes"

    status: DisputeStatus
    reason: str
    due_by: datetime
    evidence: str | None = None
    submission_count: int = 0
    movements: list[Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class FraudWarning(Row):
    """A card network's word that a charge is likely to be fraud."""

    TABLE: ClassVar[str] = "cards_warnings"

    charge_id: str
    intent_id: str
    fraud_type: str
    is_actionable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement(Row):
    """A balance transaction: what came or went, and the fee that was kept of it."""

    TABLE: ClassVar[str] = "cards_movements"

    type: str
    category: str
    amount_cents: int
    fee_cents: int
    source_id: str
    description: str
