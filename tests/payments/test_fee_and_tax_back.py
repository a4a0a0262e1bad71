"""Fee and tax when money goes back: in proportion, out of the books they came to, and said before."""

from pathlib import Path

import pytest

from payments.shop import OpenShop, Pouch, Shop
from payments.test_fee_and_tax import FIXED, letters, pouch_with
from pouch.base.money import ZERO, Money
from pouch.ledger.operations import SystemAccount
from pouch.payments.errors import RefundChanged
from pouch.payments.reconciling import Reconciling
from pouch.payments.refunding import Ask
from pouch.payments.types import Purchase

pytestmark = pytest.mark.anyio

COMES_BACK = f"{FIXED}fee_comes_back = true\n"
RETURNED = "000777777771"
"""A bank account whose bank pays, and then takes it back."""


async def buy(shop: Shop, pouch: Pouch, usd: str = "10.00", **card: str) -> Purchase:
    purchase = await shop.start(usd, pouch=pouch)
    await shop.pay(purchase, **card)
    return await pouch.sync.purchase(purchase.id)


async def books(shop: Shop) -> dict[str, str]:
    """What lies in the operator's books because of Alice."""
    accounts: tuple[SystemAccount, ...] = (
        "revenue:fees",
        "tax_payable",
        "refund_clearing",
        "stripe_clearing",
        "writeoff",
    )
    moved = {account: await shop.moved(account) for account in accounts}
    return {account: amount.decimal()[:-7] for account, amount in moved.items() if amount}


async def assert_ties(shop: Shop, pouch: Pouch) -> None:
    """Each purchase's clearing is what the processor's balance transactions come to, to the cent."""
    await shop.change("UPDATE payment_purchases SET credited_at = credited_at - interval '2 hours'")
    check = await Reconciling(shop.database, pouch.processor, pouch.sync, pouch.inbox).check("clock")
    assert (check.differences, check.error) == (0, "")
    rows = await shop.count("payment_movements")
    assert rows == await shop.count("cards_movements")
    await shop.assert_clean()


async def test_a_payment_that_fails_after_all_takes_credits_fee_and_tax_back(
    open_shop: OpenShop, tmp_path: Path
) -> None:
    """Story 13 with a fee and a tax: the clearing account is what the processor's is."""
    async with open_shop() as shop:
        pouch = pouch_with(shop, tmp_path, FIXED)
        purchase = await buy(shop, pouch, number=RETURNED)
        assert purchase.state == "credited"
        await shop.spend("4")
        await shop.cards.processor.tend()
        for _ in range(2):
            await shop.deliver(pouch=pouch)
        assert (await shop.now(purchase)).state == "refunded"
        has = await shop.has()
        assert (has.posted, has.debt) == (ZERO, Money.parse("4"))
        assert await books(shop) == {}
        letter = (await letters(shop))["payment_failed_after_all"]
        assert (letter["amount"], letter["credits"], letter["fee"], letter["tax"]) == (
            "$12.89",
            "$10.00",
            "$0.74",
            "$2.15",
        )
        await assert_ties(shop, pouch)
        await pouch.processor.close()


@pytest.mark.parametrize(
    ("lines", "to_card", "left"),
    [
        (FIXED, ["3.60", "3.60", "4.80"], {"revenue:fees": "0.74", "tax_payable": "0.15"}),
        (COMES_BACK, ["3.86", "3.87", "5.16"], {}),
    ],
    ids=["the_fee_stays", "the_fee_comes_back"],
)
async def test_partial_refunds_add_up_to_the_cent(
    shop: Shop, tmp_path: Path, lines: str, to_card: list[str], left: dict[str, str]
) -> None:
    pouch = pouch_with(shop, tmp_path, lines)
    purchase = await buy(shop, pouch)
    for number, usd in enumerate(("3.00", "3.00", "4.00")):
        async with shop.database.transaction() as db:
            said = await pouch.refunding.parts(db, purchase, Money.parse(usd))
        refund = await shop.refund(purchase, usd, f"n{number}", pouch=pouch)
        assert (refund.state, refund.amount, refund.parts) == ("succeeded", said.total, said)
        assert refund.amount == Money.parse(to_card[number])
    letter = (await letters(shop))["refund"]
    assert (letter["amount"], letter["credits"]) == (f"${to_card[-1]}", "$4.00")
    assert (await shop.now(purchase)).state == "refunded"
    assert (await shop.has()).posted == ZERO
    await assert_ties(shop, pouch)
    there = await books(shop)
    there.pop("stripe_clearing", None)
    assert there == left
    await pouch.processor.close()


async def test_the_tax_that_stripe_worked_out_goes_back_in_proportion(shop: Shop, tmp_path: Path) -> None:
    pouch = pouch_with(shop, tmp_path, 'tax = "automatic"')
    purchase = await buy(shop, pouch)
    assert purchase.tax == Money.parse("1.00")
    refund = await shop.refund(purchase, "2.50", pouch=pouch)
    assert (refund.amount, refund.tax) == (Money.parse("2.75"), Money.parse("0.25"))
    await assert_ties(shop, pouch)
    await pouch.processor.close()


async def test_the_rule_of_the_fee_is_the_one_it_was_bought_under(shop: Shop, tmp_path: Path) -> None:
    purchase = await buy(shop, pouch_with(shop, tmp_path, FIXED))
    later = pouch_with(shop, tmp_path, COMES_BACK)
    refund = await shop.refund(purchase, "10.00", pouch=later)
    assert (refund.amount, refund.fee) == (Money.parse("12"), ZERO)
    await later.processor.close()


async def test_a_refund_made_at_the_processor_takes_of_all_three_in_proportion(shop: Shop, tmp_path: Path) -> None:
    """Whoever refunds there refunds money: all of it is all of the credits, the fee and the tax, and no loss."""
    pouch = pouch_with(shop, tmp_path, FIXED)
    purchase = await buy(shop, pouch)
    await shop.refund_there(purchase, "6.44")
    await shop.deliver(pouch=pouch)
    (half,) = await shop.refunds(purchase)
    assert (half.credits, half.fee, half.tax) == (Money.parse("5"), Money.parse("0.37"), Money.parse("1.07"))
    await shop.refund_there(purchase, "6.45")
    await shop.deliver(pouch=pouch)
    assert (await shop.now(purchase)).state == "refunded"
    await assert_ties(shop, pouch)
    there = await books(shop)
    there.pop("stripe_clearing")
    assert there == {}
    await pouch.processor.close()


async def test_a_dispute_takes_the_whole_payment_and_a_won_one_gives_it_back(shop: Shop, tmp_path: Path) -> None:
    pouch = pouch_with(shop, tmp_path, FIXED)
    purchase = await buy(shop, pouch)
    await shop.refund(purchase, "5.00", pouch=pouch)
    before = await books(shop)
    dispute = await shop.object_to(purchase, usd="6.89")
    await shop.deliver(pouch=pouch)
    gone = await books(shop)
    assert (gone.get("revenue:fees"), gone.get("tax_payable"), gone.get("writeoff")) == (None, None, None)
    assert (await shop.has()).posted == ZERO
    await shop.decide(dispute, "won")
    await shop.deliver(pouch=pouch)
    after = await books(shop)
    assert (after["revenue:fees"], after["tax_payable"]) == (before["revenue:fees"], before["tax_payable"])
    assert (await shop.has()).posted == Money.parse("5")
    await assert_ties(shop, pouch)
    await pouch.processor.close()


async def test_what_goes_to_the_card_is_what_was_shown(shop: Shop, tmp_path: Path) -> None:
    """Something else went back between the page and the press: nothing is sent, and the new amount is said."""
    pouch = pouch_with(shop, tmp_path, FIXED)
    purchase = await buy(shop, pouch)
    ask = Ask("operator", shop.alice, Money.parse("5"), "first", shown=Money.parse("5.99"))
    with pytest.raises(RefundChanged, match=r"\$6\.00 would go"):
        await pouch.refunding.start(purchase.id, ask)
    assert await shop.refunds(purchase) == []
    await pouch.processor.close()
