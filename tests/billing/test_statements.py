from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.test_alerts import spend
from pouch.base.database import Connection
from pouch.base.errors import NotFound
from pouch.base.money import ZERO, Money
from pouch.billing.statements import months_of, next_month, read_month, statement_of
from pouch.ledger import accounts
from support.ledger import account_with

pytestmark = pytest.mark.anyio


async def test_a_month_begins_with_what_was_left_and_adds_up_to_what_is_left(db: Connection) -> None:
    alice = await account_with(db, "10")
    await spend(db, alice, "2.5")
    await spend(db, alice, "0.000000001")
    month = datetime.now(UTC).date().replace(day=1)
    found = await statement_of(db, alice, month)
    assert (found.opening, found.spent) == (ZERO, Money.parse("2.500000001"))
    assert [(line.kind, line.count) for line in found.lines] == [("grant", 1), ("inference", 2)]
    assert found.closing == (await accounts.balance(db, alice)).posted
    after = await statement_of(db, alice, next_month(month))
    assert (after.opening, after.lines, after.closing) == (found.closing, [], found.closing)
    assert await months_of(db, alice, now=datetime.now(UTC)) == [month]


async def test_who_has_no_line_has_no_statement(db: Connection) -> None:
    assert await months_of(db, await account_with(db, "0"), now=datetime.now(UTC)) == []


@given(st.text(max_size=10))
def test_only_a_month_is_read_as_one(text: str) -> None:
    try:
        month = read_month(text)
    except NotFound:
        return
    assert f"{month:%Y-%m}" == text


def test_the_month_after_december_is_january() -> None:
    assert next_month(date(2026, 12, 1)) == date(2027, 1, 1)
