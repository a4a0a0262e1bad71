"""The journal is parsed back by a strict reader of its own, and comes to zero, entry by entry and as a whole."""

import csv
import io
import json
import re
import shutil
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from pouch.base.database import Database
from pouch.base.ids import new_id, show_id
from pouch.base.money import Money
from pouch.ledger import accounts
from pouch.ledger.journal import Format, entries, journal
from pouch.ledger.operations import Capture, Transfer
from pouch.ledger.posting import post
from support.ledger import account_with, hold_of

pytestmark = pytest.mark.anyio

ENTRY = re.compile(r"\d{4}-\d{2}-\d{2} \(line_[0-9a-v]{26}\) [a-z]+( \| [^;|\n]+)?")
POSTING = re.compile(r"    ([a-z][a-z_:-]*(?::org_[0-9a-v]{26})?)  (-?\d+\.\d{9}) USD")


async def books(database: Database, note: str = "Gift; with | marks\nand = lines") -> tuple[str, Money]:
    """Alice bought with a fee and tax, was given, and spent more than was held. Her account and what is in it."""
    async with database.transaction() as db:
        alice = await account_with(db, "0")
        cause = new_id()
        await post(
            db,
            [
                Transfer("pi:1:credit", "stripe_clearing", alice, Money.parse("10").nanos, "purchase", cause, "Visa"),
                Transfer("pi:1:fee", "stripe_clearing", "revenue:fees", Money.parse("0.74").nanos, "fee", cause),
                Transfer("pi:1:tax", "stripe_clearing", "tax_payable", Money.parse("2.15").nanos, "tax", cause),
                Transfer("grant:1", "promo", alice, Money.parse("1.000000001").nanos, "grant", note=note),
            ],
        )
        hold = hold_of(alice, "11")
        await post(db, [hold])
        await post(db, [Capture(hold, Money.parse("20").nanos)])
        return f"liabilities:customer:{show_id('org', alice)}", (await accounts.balance(db, alice)).posted


async def text_of(database: Database, kind: Format) -> str:
    async with database.transaction() as db:
        return "".join([text async for text in journal(entries(db), kind)])


async def test_hledger_entries_come_to_zero_and_to_the_balances(database_url: str) -> None:
    async with Database(database_url) as database:
        alice, left = await books(database)
        text = await text_of(database, "hledger")
    totals = strictly_read(text)
    assert sum(totals.values()) == 0
    assert totals[alice] == -Decimal(left.decimal())
    assert totals["assets:stripe-clearing"] == Decimal("12.89")
    assert totals["revenue:fees"] == Decimal("-0.74")
    assert totals["liabilities:tax-payable"] == Decimal("-2.15")
    assert totals["expenses:overrun"] == Decimal("8.999999999")


async def test_hledger_itself_reads_it(database_url: str, tmp_path: Path) -> None:
    hledger = shutil.which("hledger")
    if hledger is None:
        pytest.skip("only where hledger is installed; the strict reader beside this reads the same text everywhere")
    async with Database(database_url) as database:
        await books(database)
        file = tmp_path / "books.journal"
        file.write_text(await text_of(database, "hledger"))
    shown = await anyio.run_process([hledger, "-f", str(file), "balance", "-N"])
    assert b"liabilities:tax-payable" in shown.stdout


async def test_csv_and_json_say_the_same_to_the_last_nano(database_url: str) -> None:
    async with Database(database_url) as database:
        await books(database)
        by_csv: dict[str, Decimal] = defaultdict(Decimal)
        for row in csv.DictReader(io.StringIO(await text_of(database, "csv"))):
            by_csv[row["account"]] += Decimal(row["amount_usd"])
        by_json: dict[str, Decimal] = defaultdict(Decimal)
        told = json.loads(await text_of(database, "json"))
        assert told["count"] == len(told["entries"]) == 6
        for entry in told["entries"]:
            amounts = [Decimal(posting["amount_usd"]) for posting in entry["postings"]]
            assert sum(amounts) == 0
            for posting in entry["postings"]:
                by_json[posting["account"]] += Decimal(posting["amount_usd"])
        assert by_csv == by_json == strictly_read(await text_of(database, "hledger"))


async def test_no_note_can_add_an_entry_or_run_in_a_spreadsheet(database_url: str) -> None:
    evil = "=cmd()\n2026-01-01 (line_0) grant\n    assets:bank  9.000000000 USD"
    async with Database(database_url) as database:
        await books(database, note=evil)
        assert "assets:bank" not in strictly_read(await text_of(database, "hledger"))
        assert "\n=cmd" not in await text_of(database, "csv")
        assert ",=cmd" not in await text_of(database, "csv")


async def test_what_is_committed_meanwhile_is_not_in_it(database_url: str) -> None:
    async with Database(database_url) as database:
        await books(database)
        async with database.transaction() as db:
            running = entries(db)
            first = await anext(running)
            await later(database)
            rest = [entry async for chunk in running for entry in chunk]
        assert (len(first), rest) == (6, [])


async def later(database: Database) -> None:
    async with database.transaction() as db:
        await account_with(db, "1")


def strictly_read(text: str) -> dict[str, Decimal]:
    """Every line is the head, an entry or one of its two postings; each entry comes to zero."""
    totals: dict[str, Decimal] = defaultdict(Decimal)
    head, _, body = text.partition("\n\n")
    assert head.splitlines()[1] == "commodity USD 1000.000000000"
    for block in filter(None, body.split("\n\n")):
        entry, *postings = block.strip("\n").split("\n")
        assert ENTRY.fullmatch(entry), entry
        found = [POSTING.fullmatch(line) for line in postings]
        assert len(found) == 2
        assert all(found), postings
        amounts = [(each[1], Decimal(each[2])) for each in found if each]
        assert sum(amount for _, amount in amounts) == 0
        for account, amount in amounts:
            totals[account] += amount
    return totals
