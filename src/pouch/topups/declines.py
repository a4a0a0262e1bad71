"""What a decline means: whether it may pass by itself, and what the person is told.

In words. The bank wants its customer: they confirm by a mailed link. The card is gone, blocked or wrong, or the
networks advise never to try again: another card. Everything else, unknown codes included, may pass: try again after
an hour, six hours and a day.
"""

from typing import Literal

from pouch.payments.types import Decline

Class = Literal["confirm", "hard", "soft"]

HARD = frozenset(
    {
        "lost_card",
        "stolen_card",
        "expired_card",
        "pickup_card",
        "restricted_card",
        "fraudulent",
        "merchant_blacklist",
        "stop_payment_order",
        "revocation_of_authorization",
        "revocation_of_all_authorizations",
        "security_violation",
        "service_not_allowed",
        "transaction_not_allowed",
        "card_not_supported",
        "currency_not_supported",
        "invalid_account",
        "incorrect_number",
        "invalid_number",
        "invalid_expiry_month",
        "invalid_expiry_year",
        "new_account_information_available",
        "no_action_taken",
        "not_permitted",
        "do_not_try_again",
        "card_detached",
    }
)

_WORDS = {
    "insufficient_funds": "insufficient funds",
    "generic_decline": "no reason given",
    "do_not_honor": "no reason given",
    "expired_card": "the card has expired",
    "lost_card": "the card cannot be used",
    "stolen_card": "the card cannot be used",
    "pickup_card": "the card cannot be used",
    "fraudulent": "the payment was not allowed",
    "processing_error": "an error while processing",
    "try_again_later": "try again later",
    "issuer_not_available": "the bank could not be reached",
    "card_velocity_exceeded": "too much in a short time",
    "withdrawal_count_limit_exceeded": "the card's own limit is reached",
    "card_detached": "the card was removed",
    "not_reached": "the card processor did not answer",
    "processor_refused": "the card processor did not take the request",
    "authentication_required": "the bank wants you to confirm",
}


def code_of(decline: Decline) -> str:
    """The most exact code there is."""
    return decline.decline_code or decline.code or "generic_decline"


def class_of(decline: Decline) -> Class:
    """What follows from a decline."""
    if decline.needs_confirmation:
        return "confirm"
    if {decline.decline_code, decline.code} & HARD or decline.advice_code == "do_not_try_again":
        return "hard"
    return "soft"


def words_of(code: str) -> str:
    """What the bank answered, in words that follow a colon. That a card was stolen is not said to whoever reads."""
    return _WORDS.get(code, "no reason given")
