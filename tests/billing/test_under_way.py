"""A purchase that may still be paid is shown wherever somebody could buy again, and a second one is a second step."""

import json
import re
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest

from billing.site import OpenSite, Site
from pouch.base.ids import new_id, read_id, show_id
from pouch.base.money import Money
from pouch.ledger.grants import grant, grant_id_of
from pouch.ledger.operations import Transfer
from pouch.ledger.posting import post
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]


async def _begin(browser: httpx.AsyncClient, usd: str = "10", **form: str) -> httpx.Response:
    return await browser.post("/billing/purchases", data={"attempt": str(uuid4()), "amount_usd": usd, **form})


async def _set_state(site: Site, state: str) -> None:
    """What the card processor's events would do for a method that takes days."""
    async with site.database.transaction() as db:
        await db.execute("UPDATE payment_purchases SET state = %s", (state,))


def _seen(page: str) -> str:
    found = re.search(r'name="seen" value="([^"]*)"', page)
    assert found
    return found[1]


def _purchase_page(page: str) -> str:
    found = re.search(r'href="(/billing/purchases/pur_[0-9a-v]+)"', page)
    assert found
    return found[1]


async def test_a_cancelled_checkout_is_the_same_purchase_again(open_site: OpenSite) -> None:
    """Alice leaves the payment page. Billing, its dialog and the form's own page all lead back to the very same one."""
    async with open_site() as site, site.browser() as alice:
        started = await _begin(alice)
        billing = (await alice.get("/billing")).text
        assert billing.count("You began to buy $10.00 and have not paid.") == 2  # above the list, and in the dialog
        assert "Continue to payment</a>" in billing
        assert "You began to buy $10.00" in (await alice.get("/billing/buy")).text
        page = (await alice.get(_purchase_page(billing))).text
        assert started.headers["location"] in page
        assert "Continue to payment" in page
        assert site.processor
        paid = await site.processor.pay(started.headers["location"])
        assert paid.location
        assert "Your credits are here" in (await alice.get(paid.location)).text
        after = (await alice.get("/billing")).text
        assert "You began to buy" not in after
        assert after.count("Paid</span>") == 1


async def test_a_payment_being_confirmed_offers_no_second_pay_button(open_site: OpenSite) -> None:
    """Everywhere: the way to buy more is folded away behind words that say what it is."""
    async with open_site() as site, site.browser() as alice, site.browser("bob") as bob:
        await _begin(alice)
        await _set_state(site, "processing")
        for browser in (alice, bob):
            for path in ("/billing", "/billing/buy", "/", "/usage"):
                page = (await browser.get(path)).text
                assert "Your payment of $10.00 is being confirmed." in page, path
                for part in page.split('<form method="post" action="/billing/purchases">')[1:]:
                    assert "button--primary" not in part.partition("</form>")[0]
                assert page.count("<summary>Buy more anyway</summary>") == 1, path
        menu = (await alice.get("/billing")).text
        assert "Payment being confirmed" in menu
        assert "+$10.00" in menu


async def test_a_form_that_was_drawn_before_the_payment_is_not_a_second_one(open_site: OpenSite) -> None:
    """In the other tab the dialog stands as it was. Its form is answered with what is under way."""
    async with open_site() as site, site.browser() as alice:
        other_tab = (await alice.get("/billing")).text
        assert _seen(other_tab) == ""
        await _begin(alice)
        attempt = str(uuid4())
        refused = await _begin(alice, "25", seen=_seen(other_tab), attempt=attempt)
        assert refused.status_code == 409
        assert "You began to buy $10.00" in refused.text
        assert f'value="{attempt}"' in refused.text
        assert 'value="25"' in refused.text
        assert (await alice.get("/billing")).text.count("Not paid yet") == 1

        anyway = await _begin(alice, "25", seen=_seen(refused.text), attempt=attempt)
        assert anyway.status_code == 303
        assert (await alice.get("/billing")).text.count("Not paid yet") == 2
        assert site.processor


async def test_the_same_form_again_is_not_held_against_itself(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        form = {"attempt": str(uuid4()), "seen": ""}
        first = await _begin(alice, **form)
        again = await _begin(alice, **form)
        assert first.status_code == again.status_code == 303
        assert first.headers["location"] == again.headers["location"]
        assert site.processor


async def test_a_program_that_says_nothing_of_what_it_saw_is_not_refused(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice:
        assert [(await _begin(alice)).status_code for _ in range(2)] == [303, 303]
        assert site.processor


async def test_carol_is_told_nothing_of_alices_payment(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice, site.browser("carol") as carol:
        await _begin(alice)
        assert "You began to buy" not in (await carol.get("/billing")).text
        assert (await _begin(carol, seen="")).status_code == 303
        assert site.processor


async def test_a_receipt_says_what_was_paid_by_whom_and_how(open_site: OpenSite) -> None:
    async with (
        open_site(config='[site]\nname = "Harbor"\n') as site,
        site.browser() as alice,
        site.browser("carol") as carol,
    ):
        started = await _begin(alice, "12.50")
        address = _purchase_page((await alice.get("/billing")).text)
        unpaid = await alice.get(f"{address}/receipt")
        assert (unpaid.status_code, unpaid.headers["location"]) == (303, address)
        assert site.processor
        paid = await site.processor.pay(started.headers["location"])
        assert paid.location
        await alice.get(paid.location)
        receipt = (await alice.get(f"{address}/receipt")).text.partition("<main")[2].partition("</main>")[0]
        number = re.search(r"Receipt (\d+)", receipt)
        assert number
        for text in (
            "Harbor",
            "alice.moreau@harbor.example",
            "$12.50",
            "Fee",
            "Tax",
            "Visa ending 4242",
            "Paid</span>",
        ):
            assert text in receipt, text
        assert f'href="{address}/receipt"' in (await alice.get("/billing")).text
        assert (await carol.get(f"{address}/receipt")).status_code == 404
        assert (await alice.get("/billing/purchases/pur_x/receipt")).status_code == 404


async def test_every_line_leads_to_its_cause(open_site: OpenSite) -> None:
    async with open_site() as site, site.browser() as alice, site.browser("carol") as carol:
        await site.give("alice", "2.500000022")
        started = await _begin(alice)
        assert site.processor
        paid = await site.processor.pay(started.headers["location"])
        assert paid.location
        await alice.get(paid.location)
        billing = (await alice.get("/billing")).text
        ledger = billing.partition('id="ledger"')[2]
        purchase, gift = re.findall(r'<a class="table__what" href="([^"]+)"', ledger)
        assert purchase.startswith("/billing/purchases/pur_")
        page = (await alice.get(gift)).text
        assert "Welcome credits" in page
        assert "+$2.500000022" in page
        assert "Expire never" in words(page)
        assert "Left After what was spent until now $2.500000022" in words(page)
        assert (await carol.get(gift)).status_code == 404
        assert (await alice.get("/billing/ledger/line_x")).status_code == 404
        exported = json.loads((await alice.get("/billing/ledger.json")).text)
        to_purchase = await alice.get(f"/billing/ledger/{exported['lines'][0]['line']}")
        assert to_purchase.headers["location"] == purchase
        assert read_id("pur", exported["lines"][0]["cause"])


async def test_a_gift_says_its_turn_its_end_and_what_is_left_of_it(open_site: OpenSite) -> None:
    """Promotional credits are spent before bought ones, those that make something good are not; both may end."""
    async with open_site(sells=False) as site, site.browser() as alice:
        harbor, ends = site.people["alice"].organization_id, datetime(2040, 2, 29, 12, 30, tzinfo=UTC)
        async with site.database.transaction() as db:
            await grant(db, harbor, Money.parse("3"), key="promo", note="Hello", expires_at=ends)
            await grant(db, harbor, Money.parse("4"), key="good", note="Sorry", kind="compensation")
            await post(db, [Transfer("spent", harbor, "revenue:fees", Money.parse("1.25").nanos, "fee", new_id())])
        promo, good = [
            words((await alice.get(f"/billing/ledger/{show_id('line', grant_id_of(key))}")).text)
            for key in ("promo", "good")
        ]
        assert "Spent before what was bought" in promo
        assert "Expire 29 Feb 2040, 12:30 UTC" in promo
        assert "Left After what was spent until now $1.75" in promo
        assert "Given to make good; spent like what was bought" in good
        assert "Left After what was spent until now $4.00" in good


def words(page: str) -> str:
    """What a page says, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


async def test_the_ledger_says_what_it_adds_up_to(open_site: OpenSite) -> None:
    async with open_site(sells=False) as site, site.browser() as alice:
        await site.give("alice", "2.000000011", key="a")
        assert "1 line. It is your balance, $2.000000011, checked now." in " ".join(
            (await alice.get("/billing")).text.split()
        )
        await site.give("alice", "2.000000011", key="b")
        page = " ".join((await alice.get("/billing")).text.split())
        assert "2 lines. They add up to $4.000000022, your balance, checked now." in page
        chosen = " ".join((await alice.get("/billing?kind=grants")).text.split())
        assert "2 lines. They add up to $4.000000022." in chosen
        none = (await alice.get("/billing?kind=calls")).text
        assert "No change of your balance fits this choice." in none
        assert "/billing/ledger.csv?kind=calls" in none


async def test_exports_follow_the_choice_and_the_session(open_site: OpenSite) -> None:
    async with open_site(sells=False) as site, site.browser() as alice, site.browser("carol") as carol:
        await site.give("alice", "2.5")
        answer = await alice.get("/billing/ledger.csv")
        assert answer.headers["content-type"].startswith("text/csv")
        assert answer.headers["content-disposition"] == 'attachment; filename="ledger.csv"'
        assert answer.text.count("\r\n") == 2
        assert (await alice.get("/billing/ledger.csv?kind=calls")).text.count("\r\n") == 1
        assert json.loads((await carol.get("/billing/ledger.json")).text) == {
            "lines": [],
            "count": 0,
            "sum_usd": "0.000000000",
        }
    async with open_site(sells=False) as site, site.browser(None) as stranger:
        assert (await stranger.get("/billing/ledger.csv")).status_code == 303
