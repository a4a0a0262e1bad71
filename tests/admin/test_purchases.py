"""The operator looks for a purchase, sees everything about it, and gives it back."""

import re
from pathlib import Path

import pytest

from admin.office import Office
from payments.test_fee_and_tax import FIXED, pouch_with
from pouch.base.money import ZERO, Money

pytestmark = pytest.mark.anyio

PAGES = ["/admin", "/admin/purchases", "/admin/refunds", "/admin/disputes"]


def attempt_in(page: str) -> str:
    found = re.search(r'name="attempt" value="([^"]+)"', page)
    assert found
    return found[1]


@pytest.mark.parametrize("path", PAGES)
async def test_the_desk_is_there_for_operators_alone(office: Office, path: str) -> None:
    assert "Operator" in await office.page(path)
    await office.page(path, "alice", 404)
    await office.page(path, None, 303)


async def test_a_purchase_is_found_by_whatever_is_known_of_it(office: Office) -> None:
    purchase = await office.shop.buy("10.00")
    known = ["alice@exam", purchase.shown_id, str(purchase.payment_id), str(purchase.number), str(purchase.session_id)]
    for text in known:
        async with office.browser() as browser:
            answer = await browser.get("/admin/purchases", params={"q": text})
        assert purchase.shown_id in answer.text, text
    for text in ("nobody", "%", "100%_", "pur_0", "\x00"):
        async with office.browser() as browser:
            answer = await browser.get("/admin/purchases", params={"q": text, "state": "odd"})
        assert answer.status_code == 200
        assert (purchase.shown_id in answer.text) is (text == "\x00")
    assert purchase.shown_id not in await office.page("/admin/purchases?state=failed")


async def test_the_operator_refunds_a_purchase_and_everybody_sees_it(office: Office) -> None:
    """Operator → Stripe → ledger → mail → the pages of both."""
    purchase = await office.shop.buy("10.00")
    path = f"/admin/purchases/{purchase.shown_id}"
    assert f"{path}/refund" in await office.page(path)
    form = await office.page(f"{path}/refund")
    assert 'value="10.00"' in form
    sent = {"amount_usd": "4", "attempt": attempt_in(form), "note": "Sorry", "reason": "duplicate"}
    for _ in range(2):
        answer = await office.post(f"{path}/refund", sent)
        assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert await office.shop.count("cards_refunds", "reason = 'duplicate'") == 1
    assert (await office.shop.has()).posted == Money.parse("6")
    page = await office.page(path)
    for words in ("Partly refunded", "Sorry", "refund clearing", "$4.00", "$6.00"):
        assert words in page
    assert "$4.00" in await office.page("/admin/refunds")
    bought = f"/billing/purchases/{purchase.shown_id}"
    assert "$4.00 went back to your card" in await office.page(bought, "alice")
    assert "Paid in the end" in await office.page(f"{bought}/receipt", "alice")
    assert await office.shop.mails() == ["purchase", "refund"]


async def test_what_of_fee_and_tax_goes_to_the_card_is_said_before_it_goes(office: Office, tmp_path: Path) -> None:
    """Of another amount than the form stood at, too: it is shown once more, and only the second press sends it."""
    pouch = pouch_with(office.shop, tmp_path, FIXED)
    purchase = await office.shop.start("10.00", pouch=pouch)
    await office.shop.pay(purchase)
    await pouch.sync.purchase(purchase.id)
    await pouch.processor.close()
    path = f"/admin/purchases/{purchase.shown_id}"
    form = await office.page(f"{path}/refund")
    assert all(words in form for words in ("The fee of $0.74 is not refunded.", "VAT 20 %", 'value="12.00"'))
    sent = {"amount_usd": "5", "attempt": attempt_in(form), "total_usd": "12.00"}
    shown = await office.post(f"{path}/refund", sent)
    assert (shown.status_code, "$6.00 would go to the card" in shown.text) == (409, True)
    assert await office.shop.count("cards_refunds") == 0
    assert (attempt_in(shown.text), 'value="6.00"' in shown.text) == (sent["attempt"], True)
    assert (await office.post(f"{path}/refund", sent | {"total_usd": "6.00"})).status_code == 303
    assert await office.shop.count("cards_refunds", "amount_cents = 600") == 1


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"amount_usd": "11"}, "At most $10.00"),
        ({"amount_usd": "0"}, "whole cents"),
        ({"amount_usd": "0.005"}, "whole cents"),
        ({"amount_usd": "-1"}, "Type an amount"),
        ({"amount_usd": "ten"}, "Type an amount"),
        ({"amount_usd": "1", "note": "x" * 201}, "at most 200"),
        ({"amount_usd": "1", "attempt": ""}, "not complete"),
        ({"amount_usd": "1", "attempt": "a b"}, "not complete"),
    ],
)
async def test_what_cannot_be_refunded_is_said_beside_the_form(
    office: Office, typed: dict[str, str], words: str
) -> None:
    purchase = await office.shop.buy("10.00")
    answer = await office.post(f"/admin/purchases/{purchase.shown_id}/refund", {"attempt": "one", **typed})
    assert answer.status_code == 400
    assert words in answer.text
    assert await office.shop.count("payment_refunds") == 0


async def test_the_form_says_that_spent_credits_will_be_owed(office: Office) -> None:
    purchase = await office.shop.buy("10.00")
    await office.shop.spend("7")
    page = await office.page(f"/admin/purchases/{purchase.shown_id}/refund")
    assert "$3.00" in page
    assert "will be owed" in page


async def test_the_buyer_takes_the_unused_part_back(office: Office) -> None:
    purchase = await office.shop.buy("10.00")
    await office.shop.spend("3.999999999")
    path = f"/billing/purchases/{purchase.shown_id}"
    assert "Refund $6.00" in await office.page(path, "alice")
    form = await office.page(f"{path}/refund", "alice")
    sent = {"amount_usd": "6.00", "attempt": attempt_in(form)}
    for _ in range(2):
        answer = await office.post(f"{path}/refund", sent, "alice")
        assert answer.headers["location"] == path
    assert await office.shop.count("cards_refunds", "amount_cents = 600") == 1
    assert (await office.shop.has()).posted == Money(1)
    assert "/refund" not in await office.page(path, "alice")
    assert "Nothing of this purchase can be refunded" in await office.page(f"{path}/refund", "alice")


async def test_the_buyer_cannot_take_more_than_is_unused_or_after_the_window(office: Office) -> None:
    purchase = await office.shop.buy("10.00")
    await office.shop.spend("3")
    path = f"/billing/purchases/{purchase.shown_id}/refund"
    assert (await office.post(path, {"amount_usd": "7.01", "attempt": "a"}, "alice")).status_code == 400
    await office.shop.change("UPDATE payment_purchases SET credited_at = credited_at - interval '25 hours'")
    assert (await office.post(path, {"amount_usd": "1.00", "attempt": "b"}, "alice")).status_code == 409
    assert await office.shop.count("payment_refunds") == 0
    assert (await office.shop.has()).held == ZERO


async def test_nobody_takes_back_what_somebody_else_bought(office: Office) -> None:
    purchase = await office.shop.buy("10.00")
    path = f"/billing/purchases/{purchase.shown_id}/refund"
    await office.page(path, "carol", 404)
    assert (await office.post(path, {"amount_usd": "1.00", "attempt": "a"}, "carol")).status_code == 404
    assert (
        await office.post(path.replace("billing", "admin"), {"amount_usd": "1", "attempt": "a"}, "carol")
    ).status_code == 404
    assert await office.shop.count("payment_refunds") == 0
