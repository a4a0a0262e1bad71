"""The test cards and what each does. No other number is accepted, so a real card can never reach the database."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from pouch.base.errors import InvalidInput
from pouch.embedded.cards.types import Method, MethodType, new_id

Trouble: TypeAlias = Literal["fraudulent", "product_not_received", "inquiry", "warning", "returned"]


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a bank said no, in Stripe's words."""

    code: str
    decline_code: str | None
    message: str
    advice_code: str | None = None
    """What the card networks advise: try_again_later, do_not_try_again or confirm_card_data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A number that may be typed on the hosted page, and its fate. `happens` is said to the person who picks it."""

    name: str
    number: str
    happens: str
    brand: str = "visa"
    type: MethodType = "card"
    cvc_length: int = 3
    declined: Decline | None = None
    declined_off_session: Decline | None = None
    authentication: Literal["never", "unless_set_up", "always"] = "never"
    settles: Literal["at_once", "later", "fails_later"] = "at_once"
    refunds: Literal["at_once", "later", "fails_later"] = "at_once"
    trouble: Trouble | None = None
    """What its owner's bank does a little after the payment."""
    is_common: bool = False

    @property
    def shown(self) -> str:
        """The number in groups of four, as printed on a card."""
        return re.sub(r"(.{4})(?=.)", r"\1 ", self.number)


_GENERIC = Decline("card_declined", "generic_decline", "Your card was declined.", "try_again_later")
_FUNDS = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.", "try_again_later")
_EXPIRED = Decline("expired_card", "expired_card", "Your card has expired.", "do_not_try_again")
_LOST = Decline("card_declined", "lost_card", "Your card was declined.", "do_not_try_again")
_STOLEN = Decline("card_declined", "stolen_card", "Your card was declined.", "do_not_try_again")
_BLOCKED = Decline("card_declined", "fraudulent", "Your card was declined.", "do_not_try_again")
_PROCESSING = Decline(
    "processing_error",
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
    "try_again_later",
)
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
    "confirm_card_data",
)
DECLINES = {
    decline.decline_code: decline
    for decline in (_GENERIC, _FUNDS, _EXPIRED, _LOST, _STOLEN, _BLOCKED, _PROCESSING, AUTHENTICATION_REQUIRED)
}
"""By their codes, for whoever switches one on."""

AUTHENTICATION_FAILED = Decline(
    "payment_intent_authentication_failure",
    None,
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
)
DEBIT_FAILED = Decline("debit_not_authorized", None, "The bank account has not enough funds for this debit.")

CARDS = (
    Card(name="visa", number="4242424242424242", happens="The payment succeeds", is_common=True),
    Card(
        name="confirm",
        number="4000002500003155",
        happens="The bank asks to confirm",
        authentication="unless_set_up",
        is_common=True,
    ),
    Card(
        name="insufficient_funds",
        number="4000000000009995",
        happens="Declined: insufficient funds",
        declined=_FUNDS,
        is_common=True,
    ),
    Card(
        name="expired",
        number="4000000000000069",
        happens="Declined: card expired",
        declined=_EXPIRED,
        is_common=True,
    ),
    Card(
        name="disputed",
        number="4000000000000259",
        happens="Succeeds, disputed later",
        trouble="fraudulent",
        is_common=True,
    ),
    Card(
        name="not_received",
        number="4000000000002685",
        happens="Succeeds, disputed as not received",
        trouble="product_not_received",
    ),
    Card(name="inquiry", number="4000000000001976", happens="Succeeds, the bank inquires", trouble="inquiry"),
    Card(name="fraud_warning", number="4000000000005423", happens="Succeeds, then a fraud warning", trouble="warning"),
    Card(name="refunds_later", number="4000000000007726", happens="Succeeds, refunds take a while", refunds="later"),
    Card(name="refunds_fail", number="4000000000005126", happens="Succeeds, refunds come back", refunds="fails_later"),
    Card(name="mastercard", number="5555555555554444", happens="Succeeds, a Mastercard", brand="mastercard"),
    Card(name="amex", number="378282246310005", happens="Succeeds, an Amex", brand="amex", cvc_length=4),
    Card(
        name="always_confirm",
        number="4000002760003184",
        happens="The bank asks every time",
        authentication="always",
    ),
    Card(
        name="fails_off_session",
        number="4000000000000341",
        happens="Succeeds, later charges fail",
        declined_off_session=_GENERIC,
    ),
    Card(name="declined", number="4000000000000002", happens="Declined: no reason given", declined=_GENERIC),
    Card(
        name="incorrect_cvc",
        number="4000000000000127",
        happens="Declined: wrong security code",
        declined=Decline(
            "incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect.", "confirm_card_data"
        ),
    ),
    Card(
        name="processing_error",
        number="4000000000000119",
        happens="Declined: processing error",
        declined=_PROCESSING,
    ),
    Card(name="lost", number="4000000000009987", happens="Declined: reported lost", declined=_LOST),
    Card(name="stolen", number="4000000000009979", happens="Declined: reported stolen", declined=_STOLEN),
    Card(name="blocked", number="4100000000000019", happens="Declined: looks like fraud", declined=_BLOCKED),
    Card(
        name="bank_debit",
        number="000123456789",
        happens="Bank debit: paid a little later",
        brand="STRIPE TEST BANK",
        type="us_bank_account",
        settles="later",
        refunds="later",
    ),
    Card(
        name="bank_debit_fails",
        number="000222222227",
        happens="Bank debit: fails a little later",
        brand="STRIPE TEST BANK",
        type="us_bank_account",
        settles="fails_later",
    ),
    Card(
        name="bank_debit_returned",
        number="000777777771",
        happens="Bank debit: paid, and taken back by the bank",
        brand="STRIPE TEST BANK",
        type="us_bank_account",
        trouble="returned",
    ),
)

_NAMED = {
    "pm_card_visa": "visa",
    "pm_card_mastercard": "mastercard",
    "pm_card_amex": "amex",
    "pm_card_chargeCustomerFail": "fails_off_session",
    "pm_card_authenticationRequired": "always_confirm",
    "pm_card_authenticationRequiredOnSetup": "confirm",
    "pm_card_createDispute": "disputed",
    "pm_card_visa_chargeDeclined": "declined",
    "pm_card_chargeDeclined": "declined",
    "pm_card_chargeDeclinedProcessingError": "processing_error",
    "pm_card_chargeDeclinedExpiredCard": "expired",
    "pm_card_chargeDeclinedIncorrectCvc": "incorrect_cvc",
    "pm_card_chargeDeclinedFraudulent": "blocked",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_visa_chargeDeclinedLostCard": "lost",
    "pm_card_visa_chargeDeclinedStolenCard": "stolen",
}

BY_NAME = {card.name: card for card in CARDS}
_BY_NUMBER = {card.number: card for card in CARDS}
_EXPIRATION = re.compile(r"(0?[1-9]|1[0-2])\s*/\s*((?:20)?\d\d)|(0[1-9]|1[0-2])(\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class TypedCard:
    """What was typed on the hosted page, checked. It lives for one request."""

    card: Card
    exp_month: int
    exp_year: int

    def method(self, *, now: datetime, secret: str, email: str | None) -> Method:
        """The row that is kept: never the number, only what a person recognises the card by."""
        return Method(
            id=new_id("pm"),
            created_at=now,
            customer_id=None,
            type=self.card.type,
            card_name=self.card.name,
            brand=self.card.brand,
            last4=self.card.number[-4:],
            exp_month=self.exp_month,
            exp_year=self.exp_year,
            fingerprint=hmac.new(secret.encode(), self.card.number.encode(), hashlib.sha256).hexdigest()[:16],
            is_set_up=False,
            email=email,
            metadata={},
        )


def named_method(name: str, *, now: datetime, secret: str) -> Method | None:
    """A new method of one of the names that Stripe's SDK tests use, such as pm_card_visa. None for any other."""
    card = BY_NAME.get(_NAMED.get(name, ""))
    return (
        TypedCard(card, exp_month=12, exp_year=now.year + 4).method(now=now, secret=secret, email=None)
        if card
        else None
    )


def find_card(number: str) -> Card | None:
    """The test card with this number, spaces and dashes aside."""
    return _BY_NUMBER.get(re.sub(r"[\s-]", "", number))


def read_card(number: str, expiration: str, cvc: str, *, today: datetime) -> TypedCard:
    """Check what was typed.

    Raises InvalidInput naming the field; an unknown number is never repeated in the message.
    """
    card = find_card(number)
    if card is None:
        raise InvalidInput("Only test cards work here. Never type a real card number.", field="number")
    if card.type != "card":
        return TypedCard(card, exp_month=12, exp_year=today.year + 4)
    month, year = _read_expiration(expiration)
    if (year, month) < (today.year, today.month):
        raise InvalidInput("Your card's expiration date is in the past.", field="expiration")
    if year > today.year + 50:
        raise InvalidInput("Your card's expiration year is invalid.", field="expiration")
    if not (cvc.isascii() and cvc.isdigit() and len(cvc) == card.cvc_length):
        raise InvalidInput(f"Your card's security code has {card.cvc_length} digits.", field="cvc")
    return TypedCard(card, exp_month=month, exp_year=year)


def _read_expiration(text: str) -> tuple[int, int]:
    parts = _EXPIRATION.fullmatch(text.strip())
    if parts is None:
        raise InvalidInput("Write the expiration as month and year, such as 12 / 34.", field="expiration")
    month, year = int(parts[1] or parts[3]), int(parts[2] or parts[4])
    return month, year if year >= 2000 else 2000 + year
