"""Auto top-ups cost what purchases cost: fee and fixed tax on top, shown before, counted by the cap, in own books."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.test_fee_and_tax import FIXED, letters, posted, settings_with
from pouch.base.errors import InvalidInput
from pouch.base.money import Money
from pouch.base.percent import Percent
from pouch.payments.charges import Charges
from pouch.topups.amounts import Charge, Limits, Standing, check, size
from pouch.topups.errors import ChargeChanged
from topups.till import OpenTill, Till, wish

CHARGES = Charges(Percent.parse("4.4"), Money.parse("0.30"), "fixed", Percent.parse("20"), "VAT", collects_tax_id=False)
LIMITS = Limits(Money.parse("5"), Money.parse("1000"), CHARGES)


@asynccontextmanager
async def till_of(open_till: OpenTill, folder: Path, lines: str) -> AsyncIterator[Till]:
    """A till of an operator with these lines in [payments]."""
    async with open_till(settings=settings_with(folder, lines)) as till:
        yield till


@pytest.mark.anyio
async def test_a_top_up_charges_fee_and_tax_and_credits_the_amount(open_till: OpenTill, tmp_path: Path) -> None:
    async with till_of(open_till, tmp_path, FIXED) as till:
        await till.add_card()
        await till.give("5")
        with pytest.raises(ChargeChanged) as changed:
            await till.switch_on(wish(cap="100"), shown=Money.parse("20"))
        assert changed.value.charge == Money.parse("25.42")
        await till.switch_on(wish(cap="100"), shown=Money.parse("25.42"))
        await till.work()
        (attempt,) = await till.tries()
        assert (attempt.state, attempt.amount, attempt.charged) == ("credited", Money.parse("20"), Money.parse("25.42"))
        assert await till.balance() == Money.parse("25")
        assert await till.shop.count("cards_charges", "status = 'succeeded' AND amount_cents = 2542") == 1
        purchase = await till.shop.now(await till.pouch.sync.purchase(attempt.id))
        assert await posted(till.shop, purchase.payment_id) == {
            "purchase customer": "20.00",
            "fee revenue:fees": "1.18",
            "tax tax_payable": "4.24",
        }
        mail = (await letters(till.shop))["top_up"]
        assert (mail["amount"], mail["fee"], mail["tax"], mail["total"]) == ("$20.00", "$1.18", "$4.24", "$25.42")
        async with till.shop.database.transaction() as db:
            overview = await till.pouch.topups.switch.overview(db, till.alice)
        assert overview.standing.used_in_month == Money.parse("25.42")
        refund = await till.shop.refund(purchase, "20.00")
        assert refund.amount == Money.parse("24")
        await till.audit()


@pytest.mark.anyio
async def test_a_tax_that_only_the_payment_page_knows_is_not_charged_on_top_ups(
    open_till: OpenTill, tmp_path: Path
) -> None:
    """docs/adr/0015: the purchase on the page is taxed, the top-up is not, and its row says so."""
    async with till_of(open_till, tmp_path, 'fee_fixed_usd = "0.50"\ntax = "automatic"\ntax_name = "VAT"') as till:
        await till.arm(has="5")
        await till.work()
        (attempt,) = await till.tries()
        purchase = await till.shop.now(await till.pouch.sync.purchase(attempt.id))
        assert (attempt.charged, purchase.tax_mode, purchase.tax) == (Money.parse("20.50"), "off", Money(0))
        assert purchase.state == "credited"


def test_the_cap_counts_all_that_is_charged() -> None:
    """Three steps of $20 are wanted and $60 is left: with fee and tax two of them fit."""
    wanted, standing = wish("50", "20", cap="60"), Standing(Money(0), Money(0), Money(0), 0)
    found = size(wanted, standing, LIMITS)
    assert isinstance(found, Charge)
    assert (found.amount, found.total) == (Money.parse("40"), Money.parse("50.47"))


def test_a_cap_that_one_charge_with_fee_and_tax_exceeds_is_refused_when_it_is_saved() -> None:
    check(wish("10", "20", cap="25.42"), LIMITS)
    with pytest.raises(InvalidInput, match=r"\$25\.42") as refused:
        check(wish("10", "20", cap="25.41"), LIMITS)
    assert refused.value.field == "cap_usd"


@given(st.integers(1, 50_000), st.integers(0, 60_000), st.integers(1, 3_000), st.booleans())
def test_no_charge_ever_goes_beyond_what_the_month_has_left(
    threshold: int, left: int, step: int, by_target: bool
) -> None:
    wanted = wish(
        Money.from_cents(threshold).decimal(),
        None if by_target else Money.from_cents(step).decimal(),
        Money.from_cents(threshold + step).decimal() if by_target else None,
        cap=Money.from_cents(left).decimal(),
    )
    found = size(wanted, Standing(Money(0), Money(0), Money(0), 0), LIMITS)
    if isinstance(found, Charge):
        assert LIMITS.least <= found.amount <= LIMITS.most
        assert found.total <= Money.from_cents(left)
        more = Money(found.amount.nanos + (Money.from_cents(1) if by_target else Money.from_cents(step)).nanos)
        closes = found.amount >= Money.from_cents(threshold)
        assert closes or more > LIMITS.most or LIMITS.charged(more) > Money.from_cents(left)
