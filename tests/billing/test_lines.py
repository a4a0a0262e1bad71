from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from pouch.base.database import Connection, Database
from pouch.base.ids import new_id, show_id
from pouch.base.money import Money
from pouch.billing import lines
from pouch.billing.export import csv_of, json_of
from pouch.billing.lines import EVERYTHING, Charge, Wanted, every_line, find_line, list_lines, sum_lines
from pouch.ledger.grants import grant
from pouch.ledger.operations import Capture, Transfer
from pouch.ledger.posting import post
from support.ledger import account_with, hold_of
from usage.calls import a_call, write

pytestmark = pytest.mark.anyio


async def _charge(db: Connection, organization_id: UUID, cost: str, *, model: str = "pouch/paid", key_id: UUID) -> UUID:
    hold = hold_of(organization_id, cost)
    await post(db, [hold])
    await post(db, [Capture(hold, hold.amount_nanos)])
    call = a_call(organization_id, cost=cost, model=model, key_id=key_id, ended=datetime.now(UTC))
    object.__setattr__(call, "id", hold.id)
    await write(db, call)
    return hold.id


async def _seen(db: Connection, organization_id: UUID, wanted: Wanted) -> list[str]:
    return [each.line.amount.decimal()[:-7] for each in await list_lines(db, organization_id, wanted, limit=50)]


async def test_lines_are_chosen_by_kind_key_model_and_day(db: Connection) -> None:
    alice, laptop, ci = await account_with(db, "10"), new_id(), new_id()
    await post(db, [Transfer(f"pi:{alice}:credit", "stripe_clearing", alice, 5 * 10**9, "purchase", new_id(), "Visa")])
    await _charge(db, alice, "1.00", key_id=laptop)
    await _charge(db, alice, "2.00", key_id=ci, model="other/model")
    today = datetime.now(UTC).date()
    for wanted, amounts in [
        (EVERYTHING, ["-2.00", "-1.00", "5.00", "10.00"]),
        (Wanted("calls"), ["-2.00", "-1.00"]),
        (Wanted("purchases"), ["5.00"]),
        (Wanted("grants"), ["10.00"]),
        (Wanted("other"), []),
        (Wanted(key_id=laptop), ["-1.00"]),
        (Wanted(model_id="other/model"), ["-2.00"]),
        (Wanted(model_id="other/model", key_id=laptop), []),
        (Wanted("grants", key_id=laptop), []),
        (Wanted(first_day=today, last_day=today), ["-2.00", "-1.00", "5.00", "10.00"]),
        (Wanted(first_day=today + timedelta(days=1)), []),
        (Wanted(last_day=today - timedelta(days=1)), []),
    ]:
        assert await _seen(db, alice, wanted) == amounts, wanted
        total = sum(round(float(amount) * 100) for amount in amounts)
        assert await sum_lines(db, alice, wanted) == (len(amounts), Money.from_cents(total))


async def test_carol_sees_no_line_of_alice(db: Connection) -> None:
    alice, carol = await account_with(db, "10"), await account_with(db, "1")
    key_id = new_id()
    call_id = await _charge(db, alice, "1.00", key_id=key_id)
    assert await _seen(db, carol, EVERYTHING) == ["1.00"]
    assert await _seen(db, carol, Wanted(key_id=key_id)) == []
    assert await find_line(db, carol, call_id) is None
    found = await find_line(db, alice, call_id)
    assert found
    assert found.call
    assert found.call.id == call_id


async def test_so_many_lines_are_not_added_up_on_a_page(db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "ADDED_MAX", 2)
    alice = await account_with(db, "1")
    await grant(db, alice, Money.parse("1"), key=f"{alice}:2", note="")
    assert await sum_lines(db, alice, Wanted("grants")) == (2, Money.parse("2"))
    await grant(db, alice, Money.parse("1"), key=f"{alice}:3", note="")
    assert await sum_lines(db, alice, Wanted("grants")) is None


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, EVERYTHING),
        (
            {"kind": "calls", "from": "2026-11-01", "to": "2026-11-30"},
            Wanted("calls", date(2026, 11, 1), date(2026, 11, 30)),
        ),
        ({"kind": "nonsense", "from": "1.11.2026", "to": "20261130", "key": "key_x", "model": ""}, EVERYTHING),
        ({"from": "0001-01-01", "to": "9999-12-31", "model": "a\x00b"}, Wanted(model_id="ab")),
    ],
)
def test_an_address_is_read_and_nonsense_left_out(query: dict[str, str], wanted: Wanted) -> None:
    assert Wanted.of(query) == wanted


def test_an_address_says_what_was_chosen() -> None:
    wanted = Wanted("calls", date(2026, 11, 1), None, "a/b", new_id())
    assert wanted.key_id
    assert wanted.query == f"kind=calls&from=2026-11-01&model=a%2Fb&key={show_id('key', wanted.key_id)}"


async def test_an_export_holds_every_line_once_in_chunks(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that come meanwhile are newer than all that are still to be read."""
    monkeypatch.setattr(lines, "CHUNK", 3)
    async with Database(database_url) as database:
        async with database.transaction() as db:
            alice = await account_with(db, "1")
            for number in range(7):
                await grant(db, alice, Money(number + 1), key=f"{alice}:{number}", note=str(number))
        seen: list[int] = []
        async for chunk in every_line(database, alice, EVERYTHING):
            seen += [each.line.amount.nanos for each in chunk]
            async with database.transaction() as db:
                await grant(db, alice, Money(99), key=f"{alice}:late:{len(seen)}", note="late")
        assert seen == [7, 6, 5, 4, 3, 2, 1, 10**9]


@pytest.mark.parametrize(
    ("note", "cell"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1", "'+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        (" =1", "' =1"),
        ("|cmd", "'|cmd"),
        ("Visa ending 4242", "Visa ending 4242"),
        ('say "hi", twice', '"say ""hi"", twice"'),
    ],
)
async def test_a_spreadsheet_runs_nothing_of_an_export(db: Connection, note: str, cell: str) -> None:
    alice = await account_with(db, "0")
    await grant(db, alice, Money.parse("0.000000001"), key=str(alice), note=note)
    found = await list_lines(db, alice, EVERYTHING, limit=9)
    header, line = "".join([part async for part in csv_of(_one(found), {})]).rstrip("\r\n").split("\r\n")
    assert header.startswith("line,at,kind,what,note,cause,model,key,")
    assert f",{cell},,,,,,,0.000000001,0.000000001" in line


async def test_a_charge_in_an_export_is_a_number_with_its_minus(db: Connection) -> None:
    alice, key_id = await account_with(db, "1"), new_id()
    call_id = await _charge(db, alice, "0.25", key_id=key_id)
    found = await list_lines(db, alice, Wanted("calls"), limit=9)
    text = "".join([part async for part in csv_of(_one(found), {key_id: "=evil"})])
    assert f"{show_id('gen', call_id)},pouch/paid,'=evil,10,0,5,-0.250000000,0.750000000" in text


async def test_json_says_how_many_and_how_much(db: Connection) -> None:
    alice = await account_with(db, "1.5")
    found = await list_lines(db, alice, EVERYTHING, limit=9)
    text = b"".join([part async for part in json_of(_one(found), {})]).decode()
    assert text.endswith('],"count":1,"sum_usd":"1.500000000"}\n')
    assert '"amount_usd":"1.500000000"' in text
    empty = b"".join([part async for part in json_of(_one(), {})])
    assert b'"count":0,"sum_usd":"0.000000000"' in empty


async def _one(*chunks: list[Charge]) -> AsyncIterator[list[Charge]]:
    for chunk in chunks:
        yield chunk
