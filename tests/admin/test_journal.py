"""The operator downloads the books."""

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from admin.office import Office

pytestmark = pytest.mark.anyio


async def test_the_journal_comes_to_zero_in_every_form(office: Office) -> None:
    await office.shop.buy("10.00")
    await office.shop.spend("1.234567891")
    page = await office.page("/admin/journal")
    assert "Balanced" in page
    assert "$0.000000000" in page
    async with office.browser() as olga:
        answers = {
            kind: await olga.get(f"/admin/journal/download?format={kind}") for kind in ("csv", "json", "hledger")
        }
    for answer in answers.values():
        assert answer.status_code == 200
        assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answers["csv"].text)))
    assert sum(Decimal(row["amount_usd"]) for row in rows) == 0
    assert "1.234567891" in {row["amount_usd"] for row in rows}
    document = json.loads(answers["json"].text)
    assert document["count"] == len(document["entries"]) == len(rows) // 2
    postings = [line.split() for line in answers["hledger"].text.splitlines() if line.startswith("    ")]
    assert sum(Decimal(amount) for _, amount, _ in postings) == 0
    assert (await office.page("/admin/log")).count("Journal downloaded") == 3


async def test_days_are_chosen_and_what_is_no_day_is_said(office: Office) -> None:
    await office.shop.buy("10.00")
    today = datetime.now(UTC).date().isoformat()
    async with office.browser() as olga:
        some = await olga.get(f"/admin/journal/download?format=csv&from={today}&to={today}")
        none = await olga.get("/admin/journal/download?format=csv&to=2020-01-01")
        odd = await olga.get("/admin/journal/download?from=soon")
        backwards = await olga.get(f"/admin/journal/download?from={today}&to=2020-01-01")
    assert len(some.text.splitlines()) > 1
    assert len(none.text.splitlines()) == 1
    assert (odd.status_code, backwards.status_code) == (400, 400)
    assert "Write the day" in odd.text
    assert "not before" in backwards.text


async def test_the_books_are_for_operators_alone(office: Office) -> None:
    for path in ("/admin/journal", "/admin/journal/download", "/admin/log", "/admin/approvals", "/admin/vouchers"):
        await office.page(path, "carol", 404)
        await office.page(path, None, 303)
