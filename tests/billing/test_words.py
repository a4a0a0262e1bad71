"""Every state and kind has words, and the page of a purchase can be drawn in each of its states."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from starlette.requests import Request

from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.billing.reversed import Back
from pouch.billing.words import LINE_KINDS
from pouch.ledger.operations import TransferKind
from pouch.payments.refunds import RefundState
from pouch.payments.types import Purchase, PurchaseState
from pouch.payments.words import PURCHASE_STATES, REFUND_STATES
from pouch.settings import Settings
from pouch.web.pages import Web
from pouch.web.viewer import Header

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 24, 14, 32, tzinfo=UTC)
PURCHASE = Purchase(
    id=new_id(),
    number=1044,
    organization_id=new_id(),
    person_id=new_id(),
    email="alice@harbor.example",
    attempt="a",
    mode="live",
    state="open",
    amount=Money.from_cents(25_00),
    created_at=NOW,
    session_expires_at=NOW + timedelta(hours=23),
    session_id="cs_1",
    session_url="https://checkout.example/cs_1",
    payment_id=None,
    card_brand="",
    card_last4="",
    credited_at=None,
    reason="",
    quarantine="",
)


BACK = Back([], *(Money(0),) * 3, refundable=Money(0), paid_debt=Money(0), debt=Money(0))


def test_every_state_and_every_kind_has_words() -> None:
    assert set(PURCHASE_STATES) == set(get_args(PurchaseState))
    assert set(REFUND_STATES) == set(get_args(RefundState))
    assert set(LINE_KINDS) == set(get_args(TransferKind))


async def _drawn(purchase: Purchase, *, reload_s: int | None = None) -> str:
    web = Web(settings=Settings(config=""), templates=[("pouch.billing", "templates")])
    request = Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []})
    page = await web.page(
        request,
        "billing/purchase.html",
        purchase=purchase,
        state=PURCHASE_STATES[purchase.state],
        pay_url=purchase.session_url if purchase.state == "open" else None,
        reload_s=reload_s,
        header=Header(Money(0), Money(0), Money(0), Money(0)),
        seen="",
        back=BACK,
        refund_states=REFUND_STATES,
    )
    return bytes(page.body).decode()


@pytest.mark.parametrize("state", get_args(PurchaseState))
async def test_a_purchase_says_how_it_stands(state: PurchaseState) -> None:
    page = await _drawn(replace(PURCHASE, state=state))
    assert PURCHASE_STATES[state][0] in page
    assert "$25.00" in page
    assert ("https://checkout.example/cs_1" in page) is (state == "open")


async def test_while_the_bank_confirms_nobody_is_asked_to_pay_again() -> None:
    page = await _drawn(replace(PURCHASE, state="processing"), reload_s=3)
    assert "Do not pay again" in page
    assert "button--primary" not in page.partition("<main")[2]
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page


async def test_a_payment_set_aside_is_for_a_person_to_look_at() -> None:
    """What does not agree is not for the buyer to read; that nothing is lost is."""
    page = await _drawn(replace(PURCHASE, quarantine="amount in cents: 2500 asked, 2400 found"))
    assert "We are looking at this payment" in page
    assert "2400" not in page
    assert "Continue to payment" not in page
