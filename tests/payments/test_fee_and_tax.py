"""What comes on top of the credits: said before, on lines of its own, in its own books, and never credited."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from payments.shop import ALICE, OpenShop, Pouch, Shop
from payments.test_verdict import PAYMENT, PURCHASE, SESSION
from pouch.base.money import Money
from pouch.ledger.check import check_now
from pouch.payments.types import Session, TotalDetails
from pouch.payments.verdict import judge
from pouch.settings import Settings

pytestmark = pytest.mark.anyio

FIXED = """
fee_percent = "4.4"
fee_fixed_usd = "0.30"
tax = "fixed"
tax_percent = "20"
tax_name = "VAT"
"""
BANK_PAYS, BANK_FAILS = "000123456789", "000222222227"


def pouch_with(shop: Shop, folder: Path, payments: str) -> Pouch:
    """Pouch as an operator with these lines in [payments] runs it."""
    return Pouch(shop.database, api_base=shop.cards.api_base, settings=settings_with(folder, payments))


def settings_with(folder: Path, payments: str) -> Settings:
    """The settings of such an operator."""
    file = folder / "pouch.toml"
    file.write_text(f"[payments]\n{payments}")
    return Settings(config=str(file), secret_key=SecretStr("a secret of the tests"))


async def posted(shop: Shop, payment_id: str | None) -> dict[str, str]:
    """Where the money of a payment went: kind, account it reached, amount."""
    async with shop.database.transaction() as db:
        rows = await db.execute(
            """
            SELECT t.kind, a.kind, t.amount_nanos
              FROM ledger_transfers t JOIN ledger_accounts a ON a.id = t.credit_account_id
             WHERE t.cause = (SELECT id FROM payment_purchases WHERE payment_id = %s)
            """,
            (payment_id,),
        )
        return {f"{kind} {account}": Money(amount).decimal()[:-7] for kind, account, amount in await rows.fetchall()}


async def letters(shop: Shop) -> dict[str, dict[str, str]]:
    async with shop.database.transaction() as db:
        rows = await db.execute("SELECT kind, context FROM mail_letters WHERE to_address = %s", (ALICE,))
        return dict(await rows.fetchall())


async def test_fee_and_fixed_tax_are_paid_and_only_the_amount_is_credited(shop: Shop, tmp_path: Path) -> None:
    pouch = pouch_with(shop, tmp_path, FIXED)
    purchase = await shop.start("10.00", pouch=pouch)
    assert purchase.total == Money.parse("12.89")
    assert purchase.session_url is not None
    page = (await shop.cards.show(purchase.session_url)).text
    assert all(shown in page for shown in ("$10.00", "Fee", "$0.74", "VAT 20 %", "$2.15", "Pay $12.89"))
    await shop.pay(purchase)
    credited = await pouch.sync.purchase(purchase.id)
    assert (credited.state, credited.total) == ("credited", Money.parse("12.89"))
    assert await shop.available() == Money.parse("10")
    assert await posted(shop, credited.payment_id) == {
        "purchase customer": "10.00",
        "fee revenue:fees": "0.74",
        "tax tax_payable": "2.15",
    }
    mail = (await letters(shop))["purchase"]
    assert (mail["amount"], mail["fee"], mail["tax"], mail["tax_name"], mail["total"]) == (
        "$10.00",
        "$0.74",
        "$2.15",
        "VAT 20 %",
        "$12.89",
    )
    async with shop.database.transaction() as db:
        assert await check_now(db) == []
    await pouch.processor.close()


async def test_the_tax_that_the_processor_works_out_is_kept_as_it_was_paid(shop: Shop, tmp_path: Path) -> None:
    pouch = pouch_with(shop, tmp_path, 'fee_fixed_usd = "0.50"\ntax = "automatic"\ncollect_tax_id = true')
    purchase = await shop.start("10.00", pouch=pouch)
    assert (purchase.tax, purchase.total) == (None, None)
    await shop.pay(purchase)
    credited = await pouch.sync.purchase(purchase.id)
    assert (credited.state, credited.tax, credited.total) == ("credited", Money.parse("1.05"), Money.parse("11.55"))
    assert await posted(shop, credited.payment_id) == {
        "purchase customer": "10.00",
        "fee revenue:fees": "0.50",
        "tax tax_payable": "1.05",
    }
    await pouch.processor.close()


async def test_what_was_said_before_holds_whatever_the_operator_changes_meanwhile(shop: Shop, tmp_path: Path) -> None:
    """The purchase begins without a fee and is credited by a process that knows one."""
    purchase = await shop.start("10.00")
    await shop.pay(purchase)
    dearer = pouch_with(shop, tmp_path, FIXED)
    credited = await dearer.sync.purchase(purchase.id)
    assert (credited.state, credited.total) == ("credited", Money.parse("10"))
    again = await shop.start("10.00", pouch=dearer)
    assert (again.id, again.total) == (purchase.id, Money.parse("10"))
    await dearer.processor.close()


@pytest.mark.parametrize("cents", [10_00, 10_74, 12_88, 12_90])
def test_a_payment_without_the_fee_or_the_tax_credits_nothing(cents: int) -> None:
    purchase = replace(PURCHASE, fee=Money.from_cents(74), tax_mode="fixed", tax=Money.from_cents(2_15))
    session = replace(SESSION, payment_intent=replace(PAYMENT, amount_received=cents))
    verdict = judge(purchase, "cus_1", session)
    assert (verdict.what, "amount" in verdict.reason) == ("quarantine", True)
    whole = replace(SESSION, payment_intent=replace(PAYMENT, amount_received=12_89), amount_total=12_89)
    assert judge(purchase, "cus_1", whole).what == "credit"
    assert judge(purchase, "cus_1", replace(whole, amount_total=cents)).what == "quarantine"


def test_only_a_tax_that_is_still_unknown_is_read_from_the_session() -> None:
    """A session that claims to hold tax makes no credit cheaper."""
    session: Session = replace(SESSION, total_details=TotalDetails(amount_tax=1_00))
    assert judge(PURCHASE, "cus_1", session).what == "credit"
    known = replace(PURCHASE, fee=Money.from_cents(1_00))
    assert judge(known, "cus_1", session).what == "quarantine"
    automatic = replace(PURCHASE, tax_mode="automatic", tax=None)
    assert judge(automatic, "cus_1", session).what == "quarantine"
    paid = replace(session, payment_intent=replace(PAYMENT, amount_received=11_00), amount_total=11_00)
    assert judge(automatic, "cus_1", paid).what == "credit"


async def test_a_bank_that_takes_its_time_is_told_about_and_then_pays(open_shop: OpenShop) -> None:
    async with open_shop(settle_after_s=3600) as shop:
        purchase = await shop.start()
        await shop.pay(purchase, number=BANK_PAYS)
        for _ in range(2):
            assert (await shop.pouch.sync.purchase(purchase.id)).state == "processing"
        assert set(await letters(shop)) == {"purchase_processing"}
        assert await shop.available() == Money(0)
        await bank_answers(shop)
        assert (await shop.pouch.sync.purchase(purchase.id)).state == "credited"
        assert set(await letters(shop)) == {"purchase_processing", "purchase"}
        await shop.assert_credited_once()


async def test_a_bank_that_refuses_later_is_told_about_and_nothing_is_credited(open_shop: OpenShop) -> None:
    async with open_shop(settle_after_s=3600) as shop:
        purchase = await shop.start()
        await shop.pay(purchase, number=BANK_FAILS)
        assert (await shop.pouch.sync.purchase(purchase.id)).state == "processing"
        await bank_answers(shop)
        for _ in range(2):
            assert (await shop.pouch.sync.purchase(purchase.id)).state == "failed"
        told = await letters(shop)
        assert set(told) == {"purchase_processing", "purchase_failed"}
        assert told["purchase_failed"]["reason"] == "The payment did not come through. Nothing was charged."
        assert await shop.available() == Money(0)


async def bank_answers(shop: Shop) -> None:
    await shop.change("UPDATE cards_intents SET settle_at = now() - interval '1 second' WHERE status = 'processing'")
    await shop.cards.processor.tend()
