"""A purchase, and those parts of the card processor's objects that Pouch reads. Amounts of the latter are cents."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from pouch.base.ids import show_id
from pouch.base.money import ZERO, Money

CURRENCY = "usd"

Mode = Literal["live", "test", "embedded"]
"""Whose money: real, Stripe's test mode, or the embedded processor. Objects of one mode are unknown in another."""

TaxMode = Literal["off", "fixed", "automatic"]
"""fixed: the operator's own rate. automatic: Stripe works it out from the buyer's address."""

PurchaseState = Literal[
    "created",
    "open",
    "processing",
    "credited",
    "failed",
    "expired",
    "part_refunded",
    "refunded",
    "disputed",
    "dispute_lost",
]

PurchaseKind = Literal["checkout", "top_up"]
"""How it is paid: on the processor's page, or by charging a saved card while nobody is there."""

UNPAID: frozenset[PurchaseState] = frozenset({"created", "open", "processing", "failed", "expired"})
"""The states from which a payment that is found credits, however late."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a person asks for. `attempt` was minted by the page they saw, so that a form sent twice is one order."""

    organization_id: UUID
    person_id: UUID
    email: str
    amount: Money
    """The credits."""
    attempt: str
    saves_card: bool = False
    """The buyer agrees to have the card saved and charged later."""
    fee: Money = ZERO
    tax: Money | None = ZERO
    """None when Stripe works it out."""
    tax_mode: TaxMode = "off"
    tax_name: str = ""
    fee_comes_back: bool = False
    """When credits are refunded, the fee goes back in proportion."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """One intention to buy credits, from the click to the receipt."""

    id: UUID
    number: int
    """The receipt number, counted per installation."""
    organization_id: UUID
    person_id: UUID
    email: str
    attempt: str
    mode: Mode
    state: PurchaseState
    amount: Money
    """The credits; fee and tax come on top."""
    created_at: datetime
    session_expires_at: datetime
    session_id: str | None
    session_url: str | None
    payment_id: str | None
    card_brand: str
    card_last4: str
    credited_at: datetime | None
    reason: str
    """Why it failed, in words for the buyer."""
    quarantine: str
    """What does not agree with the processor's objects; not for the buyer."""
    kind: PurchaseKind = "checkout"
    saves_card: bool = False
    method_id: str | None = None
    """The saved card that a top-up charges, as the processor calls it."""
    fee: Money = ZERO
    tax_mode: TaxMode = "off"
    tax: Money | None = ZERO
    """None until Stripe has worked it out."""
    tax_name: str = ""
    fee_comes_back: bool = False
    """When credits are refunded, the fee goes back in proportion; else it stays."""
    customer: str | None = None
    """The customer it was made with at the processor. None: the organization's own, which was never replaced."""

    @property
    def shown_id(self) -> str:
        """The id as people, links and the card processor see it."""
        return show_id("pur", self.id)

    @property
    def before_tax(self) -> Money:
        """Credits and fee."""
        return self.amount + self.fee

    @property
    def total(self) -> Money | None:
        """What is paid; None while the tax is not known."""
        return None if self.tax is None else self.before_tax + self.tax

    @property
    def card(self) -> str:
        """How it was paid, such as "Visa ending 4242"; nothing before it is paid."""
        return card_name(self.card_brand, self.card_last4)

    @property
    def is_unpaid(self) -> bool:
        """Whether a payment may still be found for it."""
        return self.state in UNPAID


@dataclass(frozen=True, slots=True)
class CardDetails:
    """What a receipt says about a card."""

    brand: str | None = None
    last4: str | None = None


@dataclass(frozen=True, slots=True)
class MethodDetails:
    """How it was paid; `card` for cards only."""

    type: str = ""
    card: CardDetails | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """The movement of money behind a payment."""

    id: str
    payment_method_details: MethodDetails | None = None
    amount_refunded: int = 0
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a payment was refused: the processor's codes. Any of them may be empty."""

    code: str | None = None
    decline_code: str | None = None
    advice_code: str | None = None

    @property
    def needs_confirmation(self) -> bool:
        """Whether the bank wants its customer to confirm."""
        return "authentication_required" in {self.code, self.decline_code}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What is known of a card."""

    brand: str = ""
    last4: str = ""
    exp_month: int = 12
    exp_year: int = 0
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """A PaymentMethod. Without a customer it belongs to nobody any more."""

    id: str
    type: str = ""
    customer: str | None = None
    livemode: bool = False
    card: CardFacts | None = None


@dataclass(frozen=True, slots=True)
class TriedMethod:
    """A card that somebody typed."""

    id: str


@dataclass(frozen=True, slots=True)
class SetupError:
    """Why a card was not saved, as far as it says which one."""

    payment_method: TriedMethod | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """A SetupIntent: a card being saved without paying."""

    id: str
    status: str
    customer: str | None = None
    payment_method: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    last_setup_error: SetupError | None = None

    @property
    def refused(self) -> str | None:
        """The card that was refused last, while no other was taken."""
        error = self.last_setup_error if self.status == "requires_payment_method" else None
        return error.payment_method.id if error is not None and error.payment_method is not None else None


@dataclass(frozen=True, slots=True)
class Card:
    """A saved card of an organization."""

    id: UUID
    organization_id: UUID
    mode: Mode
    stripe_id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    fingerprint: str
    is_default: bool
    email: str
    added_at: datetime
    removed_at: datetime | None

    @property
    def shown_id(self) -> str:
        """The id as people and links see it."""
        return show_id("card", self.id)

    @property
    def name(self) -> str:
        """Such as "Visa ending 4242"."""
        return card_name(self.brand, self.last4)

    @property
    def ends(self) -> str:
        """The month after which it is no longer good, such as "12 / 2034"."""
        return f"{self.exp_month:02d} / {self.exp_year}"


@dataclass(frozen=True, slots=True)
class Payment:
    """A PaymentIntent."""

    id: str
    status: str
    currency: str
    amount_received: int = 0
    customer: str | None = None
    livemode: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    latest_charge: Charge | str | None = None
    payment_method: str | None = None
    last_payment_error: Decline | None = None

    @property
    def went_back(self) -> bool:
        """Whether the charge says that some of the money went back, or may."""
        charge = self.latest_charge
        return isinstance(charge, Charge) and (charge.amount_refunded > 0 or charge.disputed)

    @property
    def method(self) -> tuple[str, str]:
        """Brand and last four digits, or the kind of payment and nothing."""
        charge = self.latest_charge
        details = charge.payment_method_details if isinstance(charge, Charge) else None
        if details is None:
            return "", ""
        if details.card is None:
            return details.type, ""
        return details.card.brand or details.type, details.card.last4 or ""


@dataclass(frozen=True, slots=True)
class TotalDetails:
    """What a session's total is made of, beside the items."""

    amount_tax: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """A Checkout Session. `payment_intent` is the payment itself where it was fetched with it."""

    id: str
    status: Literal["open", "complete", "expired"] | None = None
    url: str | None = None
    client_reference_id: str | None = None
    customer: str | None = None
    livemode: bool = False
    payment_intent: Payment | str | None = None
    mode: str = "payment"
    setup_intent: Setup | str | None = None
    amount_total: int | None = None
    total_details: TotalDetails | None = None

    @property
    def setup(self) -> Setup | None:
        """The card being saved, where it was fetched with the session."""
        return self.setup_intent if isinstance(self.setup_intent, Setup) else None

    @property
    def payment(self) -> Payment | None:
        """The payment, once there is one."""
        return self.payment_intent if isinstance(self.payment_intent, Payment) else None

    @property
    def tax(self) -> Money:
        """The tax that the payment page worked out."""
        return Money.from_cents(self.total_details.amount_tax if self.total_details else 0)


@dataclass(frozen=True, slots=True)
class Event:
    """What a webhook says, as far as it is believed: which object to look at."""

    id: str
    type: str
    object_id: str
    account: str
    livemode: bool
    occurred_at: datetime


_BRANDS = {
    "visa": "Visa",
    "mastercard": "Mastercard",
    "amex": "American Express",
    "diners": "Diners Club",
    "jcb": "JCB",
    "unionpay": "UnionPay",
    "us_bank_account": "US bank account",
    "sepa_debit": "SEPA debit",
}


def card_name(brand: str, last4: str) -> str:
    """Write "Visa ending 4242", "Link" where there are no digits, nothing where nothing is known."""
    name = _BRANDS.get(brand, brand.replace("_", " ").capitalize())
    return f"{name} ending {last4}" if name and last4 else name
