from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from pouch.base.database import Connection
from pouch.base.ids import new_id, show_id
from pouch.base.money import Money
from pouch.billing.account import LINES_PER_PAGE, Account, load_account
from pouch.billing.lines import EVERYTHING, Wanted
from pouch.catalog.types import Counts
from pouch.ledger.grants import grant
from pouch.ledger.operations import Capture, Captured, Transfer
from pouch.ledger.posting import post
from pouch.ledger.tally import Tallies
from pouch.usage.store import write_batch
from pouch.usage.types import Call, Outcome
from support.ledger import account_with, hold_of

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC)


async def _account(
    db: Connection,
    organization_id: UUID,
    *,
    now: datetime = NOW,
    before: int | None = None,
    wanted: Wanted = EVERYTHING,
) -> Account:
    return await load_account(db, organization_id, tallies=Tallies(), now=now, before=before, wanted=wanted)


async def _call(
    db: Connection,
    organization_id: UUID,
    counts: Counts,
    cost: str,
    *,
    outcome: Outcome = "done",
    estimated: bool = False,
) -> None:
    """Charge a call the way the gateway's writer does: capture and record in one transaction."""
    hold = hold_of(organization_id, "0.50")
    cost_nanos = Money.parse(cost).nanos
    await post(db, [hold])
    (answer,) = await post(db, [Capture(hold, cost_nanos)])
    call = Call(
        id=hold.id,
        organization_id=organization_id,
        person_id=new_id(),
        key_id=new_id(),
        model_id="pouch/paid",
        upstream_id="test",
        price_id=None,
        counts=counts,
        cost_nanos=cost_nanos,
        held_nanos=hold.amount_nanos,
        is_estimated=estimated,
        is_streamed=True,
        outcome=outcome,
        started_at=NOW,
        finished_at=NOW,
    )
    assert isinstance(answer, Captured)
    await write_batch(db, [(call, answer)])


async def test_a_charge_names_its_model_and_its_tokens(db: Connection) -> None:
    alice = await account_with(db, "10")
    await _call(db, alice, Counts(input=3900, cache_read=88_213, output=1904), "0.111175")
    account = await _account(db, alice)
    charge, start = account.rows
    assert charge.what == "pouch/paid"
    assert charge.why == "92,113 tokens in, 88,213 of them cached, 1,904 out"
    assert charge.line.amount == Money(-111_175_000)
    assert charge.line.balance_after == account.balance.posted == Money.parse("9.888825")
    assert account.tally.spent_in_month == Money.parse("0.111175")
    assert (start.what, start.why) == ("Credits given", "A test's start")


async def test_a_broken_or_estimated_call_says_so(db: Connection) -> None:
    alice = await account_with(db, "10")
    await _call(db, alice, Counts(input=5, output=2), "0.000009", outcome="client_gone", estimated=True)
    account = await _account(db, alice)
    assert account.rows[0].why == "5 tokens in, 2 out · stopped by the caller · estimated"


async def test_a_purchase_leads_to_its_receipt(db: Connection) -> None:
    alice, purchase = await account_with(db, "0"), new_id()
    credit = Transfer("pi:1:credit", "stripe_clearing", alice, 10_000_000_000, "purchase", purchase, "Visa ending 4242")
    await post(db, [credit])
    (row,) = (await _account(db, alice)).rows
    assert row.href == f"/billing/purchases/{show_id('pur', purchase)}"
    assert (row.what, row.why) == ("Credits bought", "Visa ending 4242")


async def test_every_line_is_on_exactly_one_page(db: Connection) -> None:
    alice = await account_with(db, "0")
    for number in range(2 * LINES_PER_PAGE):
        await grant(db, alice, Money(1), key=f"{alice}:{number}", note=str(number))
    seen: list[str] = []
    before: int | None = None
    for _ in range(2):
        page = await _account(db, alice, before=before)
        seen += [row.why for row in page.rows]
        before = page.older
    assert before is None
    assert seen == [str(number) for number in reversed(range(2 * LINES_PER_PAGE))]


async def test_carol_sees_nothing_of_alice(db: Connection) -> None:
    alice, carol = await account_with(db, "10"), await account_with(db, "0")
    await _call(db, alice, Counts(input=1), "0.000001")
    account = await _account(db, carol)
    assert account.rows == []
    assert account.purchases == []
    assert account.tally.spent_in_month == account.balance.available == Money(0)


async def test_another_month_counts_for_itself(db: Connection) -> None:
    alice = await account_with(db, "10")
    await _call(db, alice, Counts(input=1), "0.25")
    later = (NOW.replace(day=1) + timedelta(days=40)).replace(day=3)
    assert (await _account(db, alice, now=later)).tally.spent_in_month == Money(0)
