"""The processor's own book: what came to and went from its customer's balance, and the fee it kept."""

from typing import Literal, TypeAlias

from pouch.embedded.cards import store
from pouch.embedded.cards.place import Desk
from pouch.embedded.cards.types import Movement, new_id

Cause: TypeAlias = Literal["charge", "charge_failure", "refund", "refund_failure", "dispute", "dispute_reversal"]

DISPUTE_FEE_CENTS = 15_00
_FEE_PER_MILLE, _FEE_FIXED_CENTS = 29, 30

_WORDS: dict[Cause, tuple[str, str]] = {
    "charge": ("charge", "Payment"),
    "charge_failure": ("payment_failure_refund", "Payment failed"),
    "refund": ("refund", "Refund"),
    "refund_failure": ("refund_failure", "Refund failed"),
    "dispute": ("adjustment", "Chargeback withdrawal"),
    "dispute_reversal": ("adjustment", "Chargeback reversal"),
}
"""Stripe's type of each, and what its description says."""


async def move(desk: Desk, cause: Cause, source_id: str, cents: int) -> Movement:
    """Write one down: positive when money came, negative when it went."""
    type_, words = _WORDS[cause]
    return await store.add(
        desk.db,
        Movement(
            id=new_id("txn"),
            created_at=desk.now,
            type=type_,
            category=cause,
            amount_cents=cents,
            fee_cents=_fee(cause, cents),
            source_id=source_id,
            description=words,
        ),
    )


def _fee(cause: Cause, cents: int) -> int:
    """2.9 % and 30 cents of a charge, rounded up; $15.00 for a dispute; nothing comes back with a refund."""
    match cause:
        case "charge":
            return -(-cents * _FEE_PER_MILLE // 1000) + _FEE_FIXED_CENTS
        case "dispute":
            return DISPUTE_FEE_CENTS
        case _:
            return 0
