"""The operator gives credits, sees what became of them, and takes the rest back."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from admin.office import Office
from pouch.base.ids import show_id
from pouch.base.money import ZERO, Money

pytestmark = pytest.mark.anyio

FORM = {"to": "carol@elsewhere.example", "amount_usd": "25", "note": "Sorry for the outage", "attempt": "one"}


def grant_in(page: str) -> str:
    return page.partition('href="/admin/grants/')[2].partition("/revoke")[0]


async def has(office: Office, name: str = "carol") -> Money:
    office.shop.alice = office.people[name].organization_id
    return await office.shop.available()


async def test_a_grant_is_given_once_and_everybody_sees_it(office: Office) -> None:
    last = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    for _ in range(2):
        answer = await office.post("/admin/grants", {**FORM, "last_day": last})
        assert (answer.status_code, answer.headers["location"]) == (303, "/admin/grants?done")
    assert await has(office) == Money.parse("25")
    page = await office.page("/admin/grants")
    for words in ("carol@elsewhere.example", "Sorry for the outage", "Unspent", "$25.00", "until"):
        assert words in page, words
    assert "Sorry for the outage" in await office.page("/billing", "carol")
    log = await office.page("/admin/log")
    assert log.count("Grant of $25.00 (promotional) to carol@elsewhere.example") == 1
    assert "olga@pouch.example" in log
    other = await office.post("/admin/grants", {**FORM, "amount_usd": "26"})
    assert other.status_code == 409
    assert await has(office) == Money.parse("25")


async def test_an_organization_is_given_credits_by_its_id(office: Office) -> None:
    carol = show_id("org", office.people["carol"].organization_id)
    answer = await office.post("/admin/grants", {**FORM, "to": carol, "kind": "compensation"})
    assert answer.status_code == 303
    assert await has(office) == Money.parse("25")
    assert "compensation" in await office.page("/admin/grants")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"to": "nobody@elsewhere.example"}, "Nobody has this address"),
        ({"to": "org_" + "0" * 26}, "Nobody has this address"),
        ({"to": ""}, "Nobody has this address"),
        ({"amount_usd": "0"}, "more than nothing"),
        ({"amount_usd": "-5"}, "Type an amount"),
        ({"amount_usd": "1e3"}, "Type an amount"),
        ({"amount_usd": "9999999999"}, "Type an amount"),
        ({"note": " "}, "Say what it is for"),
        ({"note": "x" * 201}, "at most 200"),
        ({"last_day": "2020-01-01"}, "is over"),
        ({"last_day": "tomorrow"}, "2026-12-31"),
        ({"attempt": ""}, "not complete"),
    ],
)
async def test_what_cannot_be_given_is_said_beside_the_form(office: Office, typed: dict[str, str], words: str) -> None:
    answer = await office.post("/admin/grants", FORM | typed)
    assert answer.status_code == 400
    assert words in answer.text
    assert await has(office) == ZERO


async def test_only_what_is_left_of_a_grant_is_taken_back(office: Office) -> None:
    """Carol spent part of it and bought more: the rest of the gift goes, what she bought stays."""
    await office.post("/admin/grants", FORM)
    office.shop.alice = office.people["carol"].organization_id
    await office.shop.spend("5")
    await office.post("/admin/grants", FORM | {"attempt": "two", "amount_usd": "3", "note": "Another"})
    listed = await office.page("/admin/grants")
    assert "Partly spent" in listed
    first = [each.partition("/revoke")[0] for each in listed.split('href="/admin/grants/')[1:]][-1]
    asked = await office.page(f"/admin/grants/{first}/revoke")
    assert "Take $20.00 back" in asked
    assert (await office.post(f"/admin/grants/{first}/revoke", {})).headers["location"] == "/admin/grants?revoked"
    assert await has(office) == Money.parse("3")
    assert "Taken back" in await office.page("/admin/grants")
    assert "Credits taken back" in await office.page("/billing", "carol")
    assert "$20.00 of the grant “Sorry for the outage” of $25.00 taken back" in await office.page("/admin/log")
    assert (await office.post(f"/admin/grants/{first}/revoke", {})).status_code == 409
    assert (await office.post("/admin/grants/nonsense/revoke", {})).status_code == 404
    await office.shop.assert_clean()


async def test_two_operators_take_back_at_once_and_it_goes_once(office: Office) -> None:
    await office.post("/admin/grants", FORM)
    grant = grant_in(await office.page("/admin/grants"))
    answers = await asyncio.gather(
        *(office.post(f"/admin/grants/{grant}/revoke", {}, name) for name in ("olga", "otto", "olga"))
    )
    assert sorted(answer.status_code for answer in answers) == [303, 409, 409]
    assert await has(office) == ZERO
    await office.shop.assert_clean()


async def test_nobody_else_gives_or_takes(office: Office) -> None:
    await office.post("/admin/grants", FORM)
    grant = grant_in(await office.page("/admin/grants"))
    assert (await office.post("/admin/grants", FORM | {"attempt": "x"}, "carol")).status_code == 404
    assert (await office.post(f"/admin/grants/{grant}/revoke", {}, "carol")).status_code == 404
    await office.page("/admin/grants", "carol", 404)
    assert await has(office) == Money.parse("25")
