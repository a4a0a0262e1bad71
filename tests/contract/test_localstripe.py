"""Pouch's own payments and top-ups with localstripe as `stripe_api_base`, from the card to the credits in the ledger.

localstripe has the cards, the banks' answers and the signed webhooks; `LocalstripeBridge` stands in front of it.
"""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from contract.bridge import LocalstripeBridge
from contract.counter import Counter, counter_at
from contract.programs import WEBHOOK_SECRET
from payments.shop import ALICE
from pouch.base.money import ZERO, Money
from pouch.payments.types import Purchase

pytestmark = pytest.mark.anyio

VISA, FAILS_LATER, ALWAYS_ASKS = "4242424242424242", "4000000000000341", "4000002760003184"


@pytest.fixture
def bridge(localstripe: tuple[LocalstripeBridge, str]) -> LocalstripeBridge:
    return localstripe[0]


@pytest.fixture
async def counter(localstripe: tuple[LocalstripeBridge, str], database_url: str) -> AsyncIterator[Counter]:
    """Alice's Pouch, to which localstripe delivers its events by itself."""
    bridge, url = localstripe
    async with counter_at(url, database_url) as counter:
        where = {"url": counter.webhook_url, "secret": WEBHOOK_SECRET}
        assert (await bridge.try_asking("POST", "/_config/webhooks/pouch", where)).is_success
        yield counter


async def save_card(counter: Counter, bridge: LocalstripeBridge, number: str = VISA) -> None:
    """Alice saves a card, and comes back."""
    cards = counter.pouch.sync.cards
    setup = await cards.start(organization_id=counter.alice, person_id=counter.alice, email=ALICE, attempt=str(uuid4()))
    assert setup.session_id is not None
    assert await counter.cards() == []
    await bridge.type_card(setup.session_id, number)
    done = await cards.visit(counter.alice, setup.id)
    assert done is not None
    assert done.state == "done"


async def test_a_card_is_saved_and_removed_there_too(counter: Counter, bridge: LocalstripeBridge) -> None:
    await save_card(counter, bridge)
    (card,) = await counter.cards()
    assert (card.name, card.ends, card.mode) == ("Visa ending 4242", "12 / 2034", "test")
    assert card.fingerprint
    await counter.pouch.sync.cards.remove(counter.alice, card.id)
    assert (await bridge.ask("GET", f"/v1/payment_methods/{card.stripe_id}"))["customer"] is None


async def test_a_saved_card_is_charged_off_session_and_the_event_about_it_arrives_signed(
    counter: Counter, bridge: LocalstripeBridge
) -> None:
    """Charged once, credited once; localstripe's own event finds it done."""
    await save_card(counter, bridge)
    await counter.arm()
    await counter.work()
    attempt = await counter.attempt()
    assert attempt.state == "credited"
    payment_id = await counter.event("payment_intent.succeeded")
    purchase = await counter.purchase(attempt.id)
    assert (purchase.state, purchase.payment_id) == ("credited", payment_id)
    assert (await bridge.ask("GET", f"/v1/payment_intents/{payment_id}"))["amount"] == 20_00
    assert await counter.has() == Money.parse("20")
    assert (await counter.letters()).count("top_up") == 1


async def test_a_signed_event_alone_brings_the_credits(counter: Counter, bridge: LocalstripeBridge) -> None:
    """Pouch dies between the charge and its answer; what localstripe then delivers is enough."""
    await save_card(counter, bridge)
    await counter.arm()
    (card,) = await counter.cards()
    attempt = await counter.attempt()
    purchase = await counter.purchase(attempt.id)
    await charge_and_forget(counter, purchase, card.stripe_id)
    assert await counter.has() == ZERO
    await counter.event("payment_intent.succeeded")
    assert await counter.has() == Money.parse("20")
    await counter.work()
    assert (await counter.attempt()).state == "credited"
    assert await counter.has() == Money.parse("20")


async def charge_and_forget(counter: Counter, purchase: Purchase, method_id: str) -> None:
    """What `charging` sends, and nothing of what it does with the answer."""
    (customer,) = await customers(counter)
    assert purchase.method_id == method_id
    await counter.pouch.processor.charge_saved_card(
        purchase, customer=customer, description="Auto top-up", key=f"pi:{purchase.id}"
    )


async def customers(counter: Counter) -> list[str]:
    async with counter.database.transaction() as db:
        rows = await db.execute("SELECT stripe_id FROM payment_customers WHERE organization_id = %s", (counter.alice,))
        return [id_ for (id_,) in await rows.fetchall()]


async def test_a_declined_card_is_not_charged_and_nothing_of_it_can_be_paid_later(
    counter: Counter, bridge: LocalstripeBridge
) -> None:
    await save_card(counter, bridge, FAILS_LATER)
    await counter.arm()
    await counter.work()
    attempt = await counter.attempt()
    assert attempt.state == "declined"
    purchase = await counter.purchase(attempt.id)
    assert purchase.state == "failed"
    assert (await bridge.ask("GET", f"/v1/payment_intents/{purchase.payment_id}"))["status"] == "canceled"
    assert await counter.has() == ZERO
    assert "top_up_declined" in await counter.letters()
    assert (await counter.rule()).failures == 1


async def test_a_bank_that_wants_its_customer_is_answered_by_them(counter: Counter, bridge: LocalstripeBridge) -> None:
    """3D Secure while saving, off-session (which pauses the rule), and on the page that the mailed link opens."""
    await save_card(counter, bridge, ALWAYS_ASKS)
    await counter.arm()
    await counter.work()
    attempt = await counter.attempt()
    assert attempt.state == "needs_action"
    assert (await counter.rule()).pause == "needs_confirmation"
    assert await counter.has() == ZERO

    recovery = counter.pouch.topups.recovery
    purchase = await recovery.begin(recovery._links.token(attempt.id))  # noqa: SLF001 -- what the letter holds
    assert purchase.session_id is not None
    await bridge.type_card(purchase.session_id, ALWAYS_ASKS)
    assert (await counter.pouch.sync.purchase(purchase.id)).state == "credited"
    assert (await counter.attempt()).state == "recovered"
    assert (await counter.rule()).state == "armed"
    assert await counter.has() == Money.parse("20")
