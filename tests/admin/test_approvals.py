"""What one operator may not do alone: another one allows it, once, and never the one who asked."""

import asyncio
import re

import pytest
from starlette.responses import RedirectResponse, Response

from admin.office import Name, Office
from pouch.admin.orders import Orders
from pouch.base.ids import read_id
from pouch.base.money import ZERO, Money
from pouch.oversight.types import Operator
from pouch.web.viewer import Viewer

pytestmark = pytest.mark.anyio

GRANT = {"to": "carol@elsewhere.example", "amount_usd": "150", "note": "A prize", "attempt": "one"}


async def asked_for(office: Office, path: str, form: dict[str, str], name: Name = "olga") -> str:
    """Send a form that is too much for one: the request's address."""
    answer = await office.post(path, form, name)
    assert answer.status_code == 303, answer.text
    address = answer.headers["location"]
    assert address.startswith("/admin/approvals/ask_")
    return str(address)


async def carols(office: Office) -> Money:
    office.shop.alice = office.people["carol"].organization_id
    return await office.shop.available()


async def test_a_large_grant_waits_for_another_operator(office_of_two: Office) -> None:
    office = office_of_two
    request = await asked_for(office, "/admin/grants", GRANT)
    assert await asked_for(office, "/admin/grants", GRANT) == request
    assert await carols(office) == ZERO
    assert "Grant of $150.00 (promotional) to carol@elsewhere.example: A prize" in await office.page(request, "otto")
    assert f"{request}/allow" not in await office.page(request)
    assert f"{request}/allow" in await office.page(request, "otto")
    assert await office.shop.count("mail_letters", "to_address = 'otto@pouch.example' AND kind = 'operator_alert'") == 1
    assert await office.shop.count("mail_letters", "to_address = 'olga@pouch.example'") == 0
    assert "Waits for another operator" in await office.page("/admin/approvals")
    assert 'href="/admin/approvals"><strong>1</strong>' in await office.page("/admin")

    refused = await office.post(f"{request}/allow", {})
    assert refused.status_code == 409
    assert "another operator must allow it" in refused.text
    assert await carols(office) == ZERO

    assert (await office.post(f"{request}/allow", {}, "otto")).headers["location"] == request
    assert await carols(office) == Money.parse("150")
    log = await office.page("/admin/log")
    for words in ("Asked another operator", "Allowed", "allowed by another operator"):
        assert words in log
    assert (await office.post(f"{request}/allow", {}, "otto")).status_code == 409
    assert await carols(office) == Money.parse("150")
    await office.shop.assert_clean()


async def test_a_request_is_allowed_once_however_many_press_at_once(office_of_two: Office) -> None:
    office = office_of_two
    request = await asked_for(office, "/admin/grants", GRANT)
    answers = await asyncio.gather(
        *(office.post(f"{request}/allow", {}, name) for name in ("otto", "otto", "olga", "otto")),
        office.post(f"{request}/refuse", {}, "otto"),
    )
    assert sum(answer.status_code == 303 for answer in answers) == 1
    assert await carols(office) in {ZERO, Money.parse("150")}
    assert await office.shop.count("oversight_acts", "kind IN ('grant', 'refused')") == 1


async def test_small_ones_are_added_up_within_a_day(office_of_two: Office) -> None:
    """Ten forms of $30 at once: three are given, the others wait, however they are ordered."""
    office = office_of_two
    answers = await asyncio.gather(
        *(office.post("/admin/grants", GRANT | {"amount_usd": "30", "attempt": str(each)}) for each in range(10))
    )
    places = [answer.headers["location"] for answer in answers]
    assert sum(place == "/admin/grants?done" for place in places) == 3
    assert await carols(office) == Money.parse("90")
    small = GRANT | {"amount_usd": "10", "attempt": "small"}
    assert (await office.post("/admin/grants", small)).headers["location"] == "/admin/grants?done"
    # What was given alone is still this form's, and not counted against it.
    assert (await office.post("/admin/grants", small)).headers["location"] == "/admin/grants?done"
    assert await carols(office) == Money.parse("100")
    # Otto has a day of his own.
    assert (await office.post("/admin/grants", small, "otto")).headers["location"] == "/admin/grants?done"
    await office.shop.change("ALTER TABLE oversight_acts DISABLE TRIGGER oversight_acts_append_only")
    await office.shop.change("UPDATE oversight_acts SET at = at - interval '25 hours'")
    again = GRANT | {"amount_usd": "90", "attempt": "tomorrow"}
    assert (await office.post("/admin/grants", again)).headers["location"] == "/admin/grants?done"


async def test_what_is_allowed_too_late_is_not_done(office_of_two: Office) -> None:
    office = office_of_two
    request = await asked_for(office, "/admin/grants", GRANT)
    await office.shop.change(
        """
        UPDATE oversight_requests
           SET asked_at = asked_at - interval '73 hours', expires_at = expires_at - interval '73 hours'
        """
    )
    late = await office.post(f"{request}/allow", {}, "otto")
    assert late.status_code == 409
    assert "is over" in late.text
    assert "Over" in await office.page("/admin/approvals")
    assert await carols(office) == ZERO


async def test_whoever_asked_takes_it_back_and_another_refuses(office_of_two: Office) -> None:
    office = office_of_two
    mine = await asked_for(office, "/admin/grants", GRANT)
    theirs = await asked_for(office, "/admin/grants", GRANT | {"attempt": "two"}, "otto")
    for request in (mine, theirs):
        assert (await office.post(f"{request}/refuse", {})).status_code == 303
        assert (await office.post(f"{request}/allow", {}, "otto")).status_code == 409
    page = await office.page("/admin/approvals")
    assert "Taken back" in page
    assert "Refused" in page
    assert await carols(office) == ZERO


async def test_vouchers_that_were_allowed_are_made_by_whoever_asked_and_shown_once(office_of_two: Office) -> None:
    """All their uses count: 3 codes of $5 for 10 uses each are $150."""
    office = office_of_two
    form = {"amount_usd": "5", "count": "3", "uses": "10", "note": "Workshop", "attempt": "v"}
    request = await asked_for(office, "/admin/vouchers", form)
    assert (await office.post(f"{request}/codes", {})).status_code == 409
    await office.post(f"{request}/allow", {}, "otto")
    assert await office.shop.count("vouchers") == 0
    assert (await office.post(f"{request}/codes", {}, "otto")).status_code == 409
    answers = await asyncio.gather(*(office.post(f"{request}/codes", {}) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    (shown,) = [answer.text for answer in answers if answer.status_code == 200]
    assert len(set(re.findall(r"[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}", shown))) == 3
    assert await office.shop.count("vouchers") == 3


async def test_a_large_refund_waits_and_then_goes_to_the_card_once(office_of_two: Office) -> None:
    office = office_of_two
    alice = office.shop.alice
    purchase = await office.shop.buy("120.00")
    path = f"/admin/purchases/{purchase.shown_id}/refund"
    request = await asked_for(office, path, {"amount_usd": "120", "attempt": "r", "note": "Sorry"})
    assert await office.shop.count("payment_refunds") == 0
    assert (await office.shop.has()).held == ZERO
    await asyncio.gather(*(office.post(f"{request}/allow", {}, "otto") for _ in range(3)))
    assert await office.shop.count("cards_refunds", "amount_cents = 12000") == 1
    assert await office.shop.count("cards_refunds") == 1
    office.shop.alice = alice
    assert (await office.shop.has()).posted == ZERO
    await office.shop.assert_clean()


async def test_what_cannot_be_done_any_more_stays_undecided(office_of_two: Office) -> None:
    """The purchase was refunded meanwhile: the one who allows it reads so, and nothing has happened."""
    office = office_of_two
    purchase = await office.shop.buy("120.00")
    path = f"/admin/purchases/{purchase.shown_id}/refund"
    request = await asked_for(office, path, {"amount_usd": "110", "attempt": "r"})
    await office.shop.refund(purchase, "20.00", "elsewhere")
    answer = await office.post(f"{request}/allow", {}, "otto")
    assert answer.status_code == 400
    assert "At most $100.00" in answer.text
    assert "Waits for another operator" in await office.page(request)


async def test_nobody_but_operators_decides(office_of_two: Office) -> None:
    office = office_of_two
    request = await asked_for(office, "/admin/grants", GRANT)
    for act in ("allow", "refuse", "codes"):
        assert (await office.post(f"{request}/{act}", {}, "carol")).status_code == 404
        assert (await office.post(f"/admin/approvals/nonsense/{act}", {}, "otto")).status_code == 404
    await office.page(request, "carol", 404)
    assert await carols(office) == ZERO


async def test_the_log_is_never_changed(office: Office) -> None:
    await office.post("/admin/grants", GRANT)
    with pytest.raises(Exception, match="never changed"):
        await office.shop.change("UPDATE oversight_acts SET text = ''")
    with pytest.raises(Exception, match="never changed"):
        await office.shop.change("DELETE FROM oversight_acts")


async def test_a_refund_that_was_allowed_is_finished_by_a_worker(office_of_two: Office) -> None:
    """The process dies between the commit that allows it and the card processor: it goes, and goes once."""
    office = office_of_two
    purchase = await office.shop.buy("120.00")
    path = f"/admin/purchases/{purchase.shown_id}/refund"
    request = await asked_for(office, path, {"amount_usd": "120", "attempt": "r"})
    request_id = read_id("ask", request.rpartition("/")[2])
    assert request_id
    otto = Operator(office.people["otto"].person_id, office.people["otto"].email)
    refunding = office.shop.pouch.refunding
    async with office.shop.database.transaction() as db:
        await Orders(refunding, alone=Money.parse("100")).allow(db, otto, request_id)
    assert await office.shop.count("cards_refunds") == 0
    for _ in range(2):
        async with office.shop.database.transaction() as db:
            due = await refunding.due(db)
        for refund_id in due:
            await refunding.carry_out(refund_id)
    assert await office.shop.count("cards_refunds", "amount_cents = 12000") == 1
    assert await office.shop.count("payment_refunds", "state = 'succeeded'") == 1
    await office.shop.assert_clean()


async def test_what_gives_money_away_asks_for_the_password_again(office_of_two: Office) -> None:
    """Neither the pages nor their forms do anything for a session whose owner may have left the desk."""
    office = office_of_two
    request = await asked_for(office, "/admin/grants", GRANT)
    await office.post("/admin/grants", GRANT | {"amount_usd": "1", "attempt": "small"})
    grant = re.findall(r"/admin/grants/line_\w+/revoke", await office.page("/admin/grants"))[0]

    async def ask(_viewer: Viewer, goal: str) -> Response:
        return RedirectResponse(f"/confirm-password?next={goal}", status_code=303)

    office.web.ask_again = ask
    pages = ["/admin/grants", grant, "/admin/vouchers", "/admin/journal", "/admin/journal/download"]
    async with office.browser("otto") as otto:
        answers = [await otto.get(page) for page in pages]
        forms = [
            "/admin/grants",
            grant,
            "/admin/vouchers",
            *(f"{request}/{act}" for act in ("allow", "refuse", "codes")),
        ]
        answers += [await otto.post(form, data=GRANT | {"attempt": "more"}) for form in forms]
    for answer in answers:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/confirm-password?next=/admin/")
    assert await carols(office) == Money.parse("1")
    assert await office.shop.count("oversight_requests", "state = 'waiting'") == 1
    assert await office.shop.count("vouchers") == 0
