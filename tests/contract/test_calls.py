"""What Pouch asks of Stripe, and what it relies on in the answers: the same tests against each far end.

Which step runs on which, and what each lacks: docs/card-processors.md.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from contract.ends import End
from payments.test_verdict import PURCHASE
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.payments.errors import KeyReused, NoSuchObject, ProcessorRefused
from pouch.payments.types import Purchase
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]

whole = pytest.mark.parametrize("place", ["embedded", "stripe"], indirect=True)
everywhere = pytest.mark.parametrize("place", ["embedded", "stripe", "localstripe", "emulate"], indirect=True)


def a_purchase() -> Purchase:
    """One with a fee and a tax of the operator's own."""
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=23)
    return replace(
        PURCHASE,
        id=new_id(),
        organization_id=new_id(),
        mode="test",
        session_id=None,
        session_expires_at=expires,
        fee=Money.from_cents(74),
        tax_mode="fixed",
        tax=Money.from_cents(2_15),
        tax_name="VAT 20 %",
    )


async def customer_of(end: End, purchase: Purchase) -> str:
    return await end.processor.create_customer(
        organization_id=purchase.organization_id,
        email="alice@example.com",
        key=f"cust:{purchase.organization_id}",
    )


@everywhere
async def test_a_customer_is_made(end: End) -> None:
    assert (await customer_of(end, a_purchase())).startswith("cus_")


@everywhere
async def test_what_is_not_there_is_a_definite_no(end: End) -> None:
    with pytest.raises(ProcessorRefused):
        await end.processor.find_payment("pi_doesnotexist123456789")


@whole
async def test_a_customer_is_made_once_for_a_key(end: End) -> None:
    purchase = a_purchase()
    assert await customer_of(end, purchase) == await customer_of(end, purchase)


@whole
async def test_a_payment_page_has_every_line_and_is_made_once_for_a_key(end: End) -> None:
    purchase = a_purchase()
    customer = await customer_of(end, purchase)

    async def make(product: str = "Pouch credits") -> str:
        made = await end.processor.create_session(
            purchase,
            customer=customer,
            product=product,
            page="https://pouch.example.com/billing/purchases/pur_1",
            collects_tax_id=False,
            key=f"co:{purchase.id}",
        )
        assert made.url is not None
        assert (made.status, made.amount_total, made.client_reference_id) == ("open", 12_89, purchase.shown_id)
        return made.id

    session_id = await make()
    assert await make() == session_id
    with pytest.raises(KeyReused):
        await make("Something else")
    found = await end.processor.find_session(session_id)
    assert (found.id, found.customer, found.payment) == (session_id, customer, None)
    looked_up = await end.processor.look_up_session(customer=customer, reference=purchase.shown_id)
    assert looked_up is not None
    assert looked_up.id == session_id
    with pytest.raises(NoSuchObject):
        await end.processor.find_session("cs_test_doesnotexist")


@whole
async def test_a_saved_card_is_charged_while_its_owner_is_away(end: End) -> None:
    """Off-session, once for a key, with what the books need in the answer."""
    purchase = replace(a_purchase(), kind="top_up")
    customer = await customer_of(end, purchase)
    method = await attach(end, customer, "pm_card_visa")
    charged = replace(purchase, method_id=method)
    ids = {
        await end.processor.charge_saved_card(
            charged, customer=customer, description="Auto top-up", key=f"pi:{purchase.id}"
        )
        for _ in range(2)
    }
    (payment_id,) = ids
    payment = await end.processor.find_payment(payment_id)
    assert (payment.status, payment.amount_received, payment.currency) == ("succeeded", 12_89, "usd")
    assert (payment.customer, payment.metadata["purchase"]) == (customer, purchase.shown_id)
    assert payment.method == ("visa", "4242")


async def attach(end: End, customer: str, method: str) -> str:
    """Save one of Stripe's named test cards, as its owner does on a page."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        headers = {"authorization": f"Bearer {end.secret_key}"}
        answer = await client.post(
            f"{end.api_base}/v1/payment_methods/{method}/attach", data={"customer": customer}, headers=headers
        )
        if answer.status_code == 404:
            pytest.skip("only where cards can be attached over the API")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])
