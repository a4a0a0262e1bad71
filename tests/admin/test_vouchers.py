"""The operator makes codes, sees them once, and cancels them."""

import csv
import io
import re

import pytest

from admin.office import Office
from pouch.base.money import Money
from pouch.vouchers.redeem import redeem

pytestmark = pytest.mark.anyio

FORM = {"amount_usd": "5", "count": "3", "note": "Workshop", "per_person": "1", "attempt": "one"}
CODE = re.compile(r"[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}")


async def use(office: Office, code: str) -> None:
    """Carol redeems it."""
    carol = office.people["carol"]
    async with office.shop.database.transaction() as db:
        await redeem(
            db,
            code,
            attempt=code,
            organization_id=carol.organization_id,
            person_id=carol.person_id,
            email=carol.email,
        )


def vouchers_in(page: str) -> list[str]:
    return re.findall(r'href="/admin/vouchers/(vou_\w+)"', page)


async def test_codes_are_shown_once_and_can_be_kept_as_a_file(office: Office) -> None:
    answer = await office.post("/admin/vouchers", FORM)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    codes = CODE.findall(answer.text)
    assert len(set(codes)) == 3
    file = await office.post("/admin/vouchers/codes.csv", {"codes": "\n".join([*codes, "NONE-SUCH-CODE"])})
    assert "attachment" in file.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(file.text)))
    assert [row["code"] for row in rows] == codes
    assert {(row["amount_usd"], row["note"]) for row in rows} == {("5.000000000", "Workshop")}

    again = await office.post("/admin/vouchers", FORM)
    assert again.status_code == 409
    assert "were made before" in again.text
    listed = await office.page("/admin/vouchers")
    assert len(vouchers_in(listed)) == 3
    assert not any(code in listed for code in codes)
    assert "3 vouchers of $5.00: Workshop" in await office.page("/admin/log")
    assert await office.shop.count("vouchers", "made_by = 'olga@pouch.example'") == 3


async def test_who_redeemed_a_voucher_is_seen_and_the_rest_is_cancelled_together(office: Office) -> None:
    codes = CODE.findall((await office.post("/admin/vouchers", FORM)).text)
    await use(office, codes[0])
    listed = await office.page("/admin/vouchers")
    assert "Used up" in listed
    pages = {voucher: await office.page(f"/admin/vouchers/{voucher}") for voucher in vouchers_in(listed)}
    (used,) = [voucher for voucher, page in pages.items() if "carol@elsewhere.example" in page]
    (other, _) = [voucher for voucher in pages if voucher != used]
    await office.post(f"/admin/vouchers/{other}/void", {})
    assert "Cancelled" in await office.page(f"/admin/vouchers/{other}")
    assert await office.shop.count("vouchers", "voided_at IS NOT NULL") == 1
    await office.post(f"/admin/vouchers/{other}/void-batch", {})
    assert await office.shop.count("vouchers", "voided_at IS NULL") == 0
    office.shop.alice = office.people["carol"].organization_id
    assert await office.shop.available() == Money.parse("5")
    assert "2 vouchers (“Workshop”) cancelled" in await office.page("/admin/log")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"amount_usd": "0"}, "more than nothing"),
        ({"count": "0"}, "whole number from 1 to 1,000"),
        ({"count": "1001"}, "whole number from 1 to 1,000"),
        ({"uses": "1", "per_person": "2"}, "no more than in all"),
        ({"note": ""}, "Say what it is for"),
        ({"last_day": "2020-01-01"}, "is over"),
        ({"credits_days": "x"}, "whole number"),
        ({"code": "MINE-2027"}, "One code of your own"),
        ({"code": "A", "count": "1"}, "letters and digits"),
        ({"attempt": ""}, "not complete"),
    ],
)
async def test_what_cannot_be_made_is_said_beside_the_form(office: Office, typed: dict[str, str], words: str) -> None:
    answer = await office.post("/admin/vouchers", FORM | typed)
    assert answer.status_code == 400
    assert words in answer.text
    assert await office.shop.count("vouchers") == 0


async def test_a_code_of_ones_own_is_taken_once(office: Office) -> None:
    own = FORM | {"count": "1", "uses": "500", "code": "SPRING-2027"}
    assert "SPRING-2027" in (await office.post("/admin/vouchers", own)).text
    assert (await office.post("/admin/vouchers", own | {"attempt": "two"})).status_code == 409
    assert await office.shop.count("vouchers") == 1


async def test_nobody_else_makes_or_cancels_any(office: Office) -> None:
    await office.post("/admin/vouchers", FORM)
    (voucher, *_) = vouchers_in(await office.page("/admin/vouchers"))
    for path in ("/admin/vouchers", f"/admin/vouchers/{voucher}/void", f"/admin/vouchers/{voucher}/void-batch"):
        assert (await office.post(path, FORM | {"attempt": "x"}, "carol")).status_code == 404
    assert await office.shop.count("vouchers", "voided_at IS NULL") == 3
