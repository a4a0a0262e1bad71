"""The other pages of the desk: reconciliation, events, people, mail."""

from datetime import UTC, datetime, timedelta

import pytest

from admin.office import Office
from pouch.admin.reconciliation import headline
from pouch.base.ids import new_id, show_id
from pouch.payments.checks import Check

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PAGES = ["/admin/reconciliation", "/admin/events", "/admin/people", "/admin/mail", "/admin/letters"]


@pytest.mark.parametrize("path", [*PAGES, "/admin/letters/refund", "/admin/letters/refund/html"])
async def test_these_pages_are_there_for_operators_alone(office: Office, path: str) -> None:
    await office.page(path)
    await office.page(path, "alice", 404)
    await office.page(path, None, 303)


@pytest.mark.parametrize(
    ("minutes", "still", "said"),
    [
        (0, 0, "0 differences, checked just now"),
        (1, 1, "1 difference, checked 1 minute ago"),
        (3, 0, "0 differences, checked 3 minutes ago"),
        (200, 2, "2 differences, checked 3 hours ago"),
    ],
)
def test_how_things_stand_is_said_in_one_line(minutes: int, still: int, said: str) -> None:
    check = Check(new_id(), "clock", NOW - timedelta(minutes=minutes), NOW, 7, 0, still, "")
    assert headline(check, still, NOW) == said
    assert headline(None, 0, NOW) == "Nothing was checked yet"


async def test_check_now_compares_and_repairs(office: Office) -> None:
    await office.shop.pay(await office.shop.start("10.00"))
    answer = await office.post("/admin/reconciliation", {})
    assert answer.headers["location"] == "/admin/reconciliation"
    page = await office.page("/admin/reconciliation")
    assert "0 differences, checked just now" in page
    assert "Repaired" in page
    assert "0 differences, checked just now" in await office.page("/admin")
    await office.shop.assert_credited_once()


async def test_checks_that_do_not_end_are_said_on_both_pages(office: Office) -> None:
    """The key may not read balance transactions any more, or no worker runs."""
    await office.post("/admin/reconciliation", {})
    for page in ("/admin", "/admin/reconciliation"):
        assert "The books are not compared" not in await office.page(page)
    await office.shop.change("UPDATE payment_checks SET started_at = now() - interval '3 hours'")
    await office.shop.change("INSERT INTO payment_checks (id, asked_by) VALUES (gen_random_uuid(), 'clock')")
    for page in ("/admin", "/admin/reconciliation"):
        assert "The books are not compared" in await office.page(page)


async def test_what_belongs_to_nothing_is_listed(office: Office) -> None:
    purchase = await office.shop.start("10.00")
    await office.shop.pay(purchase)
    await office.shop.change("UPDATE payment_purchases SET quarantine = 'amount in cents: 1000 asked, 900 found'")
    await office.shop.change(
        """
        INSERT INTO payment_events (stripe_id, id, type, object_id, livemode, occurred_at, state, note, due_at)
        VALUES ('evt_1', gen_random_uuid(), 'refund.created', 're_elsewhere', false, now(), 'flagged', 'Not ours', NULL)
        """
    )
    page = await office.page("/admin/events")
    for words in ("900 found", purchase.shown_id, "re_elsewhere", "Not ours"):
        assert words in page


async def test_people_are_found_with_what_they_have(office: Office) -> None:
    page = await office.page("/admin/people?q=carol@else")
    assert "carol@elsewhere.example" in page
    assert "olga@pouch.example" not in page.partition("<table")[2]
    carol = show_id("org", office.people["carol"].organization_id)
    assert "carol@elsewhere.example" in await office.page(f"/admin/people?q={carol}")
    assert "Nobody fits" in await office.page("/admin/people?q=%25%25")


async def test_the_mail_log_shows_letters_and_sends_one_again(office: Office) -> None:
    await office.shop.buy("10.00")
    page = await office.page("/admin/mail?to=alice&kind=purchase&state=queued")
    assert "alice@example.com" in page
    await office.shop.change("UPDATE mail_letters SET state = 'failed', due_at = NULL, error = 'No such mailbox'")
    page = await office.page("/admin/mail?state=failed")
    assert "No such mailbox" in page
    address = page.partition('action="/admin/mail/')[2].partition("/again")[0]
    assert (await office.post(f"/admin/mail/{address}/again", {})).status_code == 303
    assert await office.shop.count("mail_letters", "state = 'queued' AND attempts = 0") == 1
    assert (await office.post(f"/admin/mail/{address}/again", {})).status_code == 404
    assert (await office.post("/admin/mail/nonsense/again", {})).status_code == 404


async def test_every_kind_of_letter_can_be_looked_at(office: Office) -> None:
    """With whatever its templates show; so a new kind of any room is there by itself."""
    kinds = office.letters.kinds()
    assert {"purchase", "refund", "dispute_opened", "operator_alert", "verify_address", "top_up"} <= set(kinds)
    listed = await office.page("/admin/letters")
    for kind in kinds:
        assert f"/admin/letters/{kind}" in listed
        assert "As text" in await office.page(f"/admin/letters/{kind}")
        assert "<style" in await office.page(f"/admin/letters/{kind}/html")
    await office.page("/admin/letters/nothing", "olga", 404)
