"""What the processor's objects mean, decided without touching anything."""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Literal

import pytest
from pydantic import TypeAdapter

from pouch.base.ids import new_id, show_id
from pouch.base.money import Money
from pouch.payments.types import Payment, Purchase, Session
from pouch.payments.verdict import judge, judge_charge

AT = datetime(2026, 11, 22, tzinfo=UTC)
PURCHASE = Purchase(
    id=new_id(),
    number=1,
    organization_id=new_id(),
    person_id=new_id(),
    email="alice@example.com",
    attempt="first",
    mode="test",
    state="open",
    amount=Money.from_cents(10_00),
    created_at=AT,
    session_expires_at=AT,
    session_id="cs_1",
    session_url="http://localhost/pay/cs_1",
    payment_id=None,
    card_brand="",
    card_last4="",
    credited_at=None,
    reason="",
    quarantine="",
)
PAYMENT = Payment(
    id="pi_1",
    status="succeeded",
    currency="usd",
    amount_received=10_00,
    customer="cus_1",
    metadata={"purchase": PURCHASE.shown_id, "organization": show_id("org", PURCHASE.organization_id)},
)
SESSION = Session(
    id="cs_1", status="complete", client_reference_id=PURCHASE.shown_id, customer="cus_1", payment_intent=PAYMENT
)


def test_the_right_payment_credits() -> None:
    assert judge(PURCHASE, "cus_1", SESSION).what == "credit"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"amount_received": 9_99}, "amount"),
        ({"amount_received": 10_01}, "amount"),
        ({"currency": "eur"}, "currency"),
        ({"customer": "cus_2"}, "customer"),
        ({"customer": None}, "customer"),
        ({"livemode": True}, "live mode"),
        ({"metadata": {}}, "purchase"),
        ({"metadata": {**PAYMENT.metadata, "purchase": show_id("pur", new_id())}}, "purchase"),
        ({"metadata": {**PAYMENT.metadata, "organization": show_id("org", new_id())}}, "organization"),
    ],
)
def test_a_payment_that_differs_in_anything_is_quarantined(wrong: dict[str, object], named: str) -> None:
    payment = TypeAdapter(Payment).validate_python({**asdict(PAYMENT), **wrong})
    verdict = judge(PURCHASE, "cus_1", replace(SESSION, payment_intent=payment))
    assert verdict.what == "quarantine"
    assert named in verdict.reason


def test_a_payment_through_another_session_or_after_another_payment_is_quarantined() -> None:
    assert judge(replace(PURCHASE, session_id="cs_2"), "cus_1", SESSION).what == "quarantine"
    assert judge(replace(PURCHASE, payment_id="pi_2"), "cus_1", SESSION).what == "quarantine"


def test_a_session_that_our_row_has_not_heard_of_yet_credits() -> None:
    assert judge(replace(PURCHASE, session_id=None), "cus_1", SESSION).what == "credit"


@pytest.mark.parametrize(
    ("session", "payment", "what"),
    [
        ("open", None, "open"),
        ("open", "requires_payment_method", "open"),
        ("open", "requires_action", "open"),
        ("complete", "processing", "processing"),
        ("complete", "requires_action", "processing"),
        ("complete", None, "processing"),
        ("complete", "requires_payment_method", "failed"),
        ("complete", "canceled", "failed"),
        ("expired", None, "expired"),
        ("expired", "canceled", "expired"),
        ("expired", "succeeded", "credit"),
        (None, None, "open"),
    ],
)
def test_only_a_payment_that_succeeded_credits(
    session: Literal["open", "complete", "expired"] | None, payment: str | None, what: str
) -> None:
    found = replace(PAYMENT, status=payment) if payment else None
    shown = replace(SESSION, status=session, payment_intent=found)
    assert judge(PURCHASE, "cus_1", shown).what == what


def test_the_end_of_another_session_does_not_end_the_purchase() -> None:
    other = replace(SESSION, id="cs_2", status="expired", payment_intent=None)
    assert judge(PURCHASE, "cus_1", other).what == "open"


@pytest.mark.parametrize(
    ("status", "what"),
    [
        ("succeeded", "credit"),
        ("canceled", "failed"),
        ("processing", "processing"),
        ("requires_payment_method", "open"),
        ("requires_action", "open"),
        ("requires_confirmation", "open"),
    ],
)
def test_only_a_charge_of_a_saved_card_that_succeeded_credits_and_only_a_cancelled_one_has_failed(
    status: str, what: str
) -> None:
    """While it might still be paid it has not failed: another charge beside it could be a second one."""
    top_up = replace(PURCHASE, kind="top_up", session_id=None, session_url=None)
    assert judge_charge(top_up, "cus_1", replace(PAYMENT, status=status)).what == what


def test_a_charge_without_the_fee_of_its_top_up_is_quarantined() -> None:
    top_up = replace(PURCHASE, kind="top_up", session_id=None, fee=Money.from_cents(50))
    assert judge_charge(top_up, "cus_1", PAYMENT).what == "quarantine"
    assert judge_charge(PURCHASE, "cus_1", PAYMENT).what == "quarantine"
