"""What a person can take with them, and what keeps their account."""

import json
from typing import cast

import pytest

from agents.house import model_of
from pouch.agents.start import Asked, Starter, start_run
from pouch.agents.wishes import stop
from pouch.app import exports
from pouch.app.exports import EXPORTERS, agents_obstacle, payment_obstacle
from pouch.base.database import Connection
from pouch.base.ids import new_id, show_id
from pouch.base.money import Money
from pouch.catalog.agent_price import set_agent_price
from pouch.identity.people import add_person
from pouch.identity.types import Person
from pouch.ledger.grants import grant
from pouch.payments.card_rows import add_card
from pouch.payments.purchases import add_purchase
from pouch.payments.types import CardFacts, Order
from pouch.topups.rules import find_rule, forget_person, save_rule, set_state
from pouch.topups.types import Wish

pytestmark = pytest.mark.anyio


async def a_person(db: Connection, email: str) -> Person:
    """Somebody with three grants, one purchase and three calls."""
    person = await add_person(db, email, None, verified=True)
    organization = person.organization_id
    for number in range(3):
        await grant(db, organization, Money.from_cents(100 + number), key=str(new_id()), note=f"Gift of {email}")
        await db.execute(
            """
            INSERT INTO usage_calls (id, organization_id, person_id, key_id, model_id, upstream_id, tokens_input,
                                     cost_nanos, charged_nanos, is_streamed, outcome, started_at, finished_at)
            VALUES (%s, %s, %s, %s, 'pouch/paid', 'test', %s, 3, 2, true, 'done', now(), now())
            """,
            (new_id(), organization, person.id, person.id, number),
        )
    await add_purchase(db, Order(organization, person.id, email, Money.from_cents(10_00), "1"), "test", 3600)
    return person


async def test_the_file_has_all_of_ones_own_and_nothing_of_others(
    db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a list is longer than one page of the rooms that give it."""
    monkeypatch.setattr(exports, "_PAGE", 2)
    alice = await a_person(db, "alice@example.com")
    await a_person(db, "carol@example.com")

    data = {name: await exporter(db, alice.organization_id) for name, exporter in EXPORTERS.items()}

    assert json.loads(json.dumps(data)) == data
    assert "carol" not in str(data)
    purchases, ledger, usage = data["purchases"], data["ledger"], data["usage"]
    assert isinstance(purchases, list)
    assert isinstance(ledger, list)
    assert isinstance(usage, list)
    assert (len(purchases), len(ledger), len(usage)) == (1, 3, 3)
    assert isinstance(purchases[0], dict)
    assert purchases[0]["amount_usd"] == "10.000000000"
    assert isinstance(ledger[0], dict)
    assert (ledger[0]["amount_usd"], ledger[0]["balance_after_usd"]) == ("1.020000000", "3.030000000")
    assert isinstance(usage[0], dict)
    assert (usage[0]["charged_usd"], usage[0]["key"]) == ("0.000000002", show_id("key", alice.id))


async def test_a_payment_that_is_being_confirmed_keeps_the_account(db: Connection) -> None:
    alice = await a_person(db, "alice@example.com")
    assert await payment_obstacle(db, alice.organization_id) is None
    await db.execute(
        "UPDATE payment_purchases SET state = 'processing', session_id = 's', session_url = 'u' WHERE person_id = %s",
        (alice.id,),
    )
    assert await payment_obstacle(db, alice.organization_id) is not None


async def test_no_account_closes_while_agents_run(db: Connection) -> None:
    alice = await a_person(db, "alice@example.com")
    carol = await a_person(db, "carol@example.com")
    await set_agent_price(db, Money.parse("5"))
    asked = Asked("coder", "Mend it", "https://git.example.com/a.git", "", Money.parse("1"), 600)
    starter = Starter(alice.organization_id, alice.id, "web", "first")
    run, _ = await start_run(db, starter, asked, model_of(None))
    assert "Stop them first" in (await agents_obstacle(db, alice.organization_id) or "")
    assert await agents_obstacle(db, carol.organization_id) is None
    await stop(db, run.organization_id, run.id)
    assert await agents_obstacle(db, alice.organization_id) is None
    (exported,) = cast("list[dict[str, object]]", await EXPORTERS["agent_runs"](db, alice.organization_id))
    assert (exported["task"], exported["state"]) == ("Mend it", "canceled")
    assert await EXPORTERS["agent_runs"](db, carol.organization_id) == []


async def test_a_refund_under_way_keeps_the_account_and_is_in_the_file(db: Connection) -> None:
    alice = await a_person(db, "alice@example.com")
    await db.execute(
        """
        INSERT INTO payment_refunds (id, purchase_id, organization_id, mode, source, amount_nanos)
        SELECT id, id, organization_id, mode, 'operator', 10000000 FROM payment_purchases WHERE person_id = %s
        """,
        (alice.id,),
    )
    assert "refund" in str(await payment_obstacle(db, alice.organization_id))
    (refund,) = cast("list[dict[str, str]]", await EXPORTERS["refunds"](db, alice.organization_id))
    assert (refund["amount_usd"], refund["state"]) == ("0.010000000", "created")


async def test_an_auto_top_up_that_is_on_keeps_the_account_and_its_cards_go_along(db: Connection) -> None:
    alice = await a_person(db, "alice@example.com")
    organization = alice.organization_id
    card = await add_card(db, organization, "test", "pm_1", CardFacts("visa", "4242", 12, 2034), alice.email)
    usd = Money.parse
    rule = await save_rule(db, organization, Wish(usd("10"), usd("20"), None, usd("100"), 3), alice.id, alice.email)
    assert await payment_obstacle(db, organization) == "Auto top-up is on. Switch it off first."
    await set_state(db, rule, "off")
    assert await payment_obstacle(db, organization) is None
    cards = await EXPORTERS["cards"](db, organization)
    assert isinstance(cards, list)
    assert isinstance(cards[0], dict)
    assert (cards[0]["brand"], cards[0]["last4"]) == (card.brand, card.last4)
    await forget_person(db, alice.id)
    assert (await find_rule(db, organization)) is not None
    rows = await db.execute("SELECT email FROM topup_rules WHERE id = %s", (organization,))
    assert await rows.fetchall() == [("",)]
