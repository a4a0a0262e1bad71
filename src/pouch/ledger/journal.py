"""The double-entry journal: every transfer as two postings that come to zero, for the operator's accounting."""

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, get_args
from uuid import UUID

import orjson

from pouch.base.database import Connection
from pouch.base.ids import show_id
from pouch.base.money import Money

Format = Literal["csv", "json", "hledger"]
FORMATS: tuple[Format, ...] = get_args(Format)
CHUNK = 2_000
COLUMNS = ("entry", "at", "kind", "account", "amount_usd", "cause", "note")


@dataclass(frozen=True, slots=True)
class Entry:
    """One transfer. The amount leaves `debit` and reaches `credit`."""

    id: UUID
    at: datetime
    kind: str
    debit: str
    credit: str
    amount: Money
    cause: UUID | None
    note: str


async def entries(
    db: Connection, *, first_day: date | None = None, last_day: date | None = None
) -> AsyncIterator[list[Entry]]:
    """Every transfer of one moment, in chunks; the days are UTC, both included.

    `db` must not have begun a transaction's first statement: what is committed while this runs is not in it, so that
    no entry can be missed between two chunks.
    """
    await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    await db.execute("SET LOCAL statement_timeout = 0")
    after = 0
    while True:
        chunk = await _chunk(db, after, first_day, last_day)
        if not chunk:
            return
        yield [entry for _, entry in chunk]
        after = chunk[-1][0]


async def journal(chunks: AsyncIterator[list[Entry]], kind: Format) -> AsyncIterator[str]:
    """Write the journal as text, piece by piece."""
    match kind:
        case "csv":
            yield _csv([COLUMNS])
            async for chunk in chunks:
                yield _csv([row for entry in chunk for row in _rows(entry)])
        case "json":
            count = 0
            yield '{"entries":['
            async for chunk in chunks:
                for entry in chunk:
                    yield ("," if count else "") + "\n" + orjson.dumps(_shape(entry)).decode()
                    count += 1
            yield f'\n],"count":{count}}}\n'
        case "hledger":
            yield "; Pouch's books. Amounts are exact; each entry comes to zero.\ncommodity USD 1000.000000000\n"
            async for chunk in chunks:
                yield "".join(_hledger(entry) for entry in chunk)


async def _chunk(db: Connection, after: int, first_day: date | None, last_day: date | None) -> list[tuple[int, Entry]]:
    rows = await db.execute(
        """
        SELECT t.seq, t.id, t.at, t.kind, d.kind, d.organization_id, c.kind, c.organization_id, t.amount_nanos, t.cause,
               t.note
          FROM ledger_transfers AS t
          JOIN ledger_accounts AS d ON d.id = t.debit_account_id
          JOIN ledger_accounts AS c ON c.id = t.credit_account_id
         WHERE t.seq > %(after)s
           AND (%(first)s::date IS NULL OR t.at >= %(first)s::date::timestamp AT TIME ZONE 'UTC')
           AND (%(last)s::date IS NULL OR t.at < (%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC')
         ORDER BY t.seq LIMIT %(limit)s
        """,
        {"after": after, "first": first_day, "last": last_day, "limit": CHUNK},
    )
    return [
        (seq, Entry(id_, at, kind, _name(debit, payer), _name(credit, payee), Money(nanos), cause, note))
        for seq, id_, at, kind, debit, payer, credit, payee, nanos, cause, note in await rows.fetchall()
    ]


def _name(kind: str, organization_id: UUID | None) -> str:
    """An account's name in the journal: where it stands in a balance sheet, as accounting programs sort them."""
    if organization_id is not None:
        organization = show_id("org", organization_id)
        top = "liabilities:customer" if kind == "customer" else "assets:receivable"
        return f"{top}:{organization}"
    return _PLACES[kind]


_PLACES = {
    "revenue:inference": "revenue:inference",
    "revenue:agents": "revenue:agents",
    "revenue:fees": "revenue:fees",
    "stripe_clearing": "assets:stripe-clearing",
    "stripe_fees": "expenses:stripe-fees",
    "bank": "assets:bank",
    "tax_payable": "liabilities:tax-payable",
    "promo": "expenses:promo",
    "refund_clearing": "assets:refund-clearing",
    "overrun": "expenses:overrun",
    "writeoff": "expenses:writeoff",
}


def _postings(entry: Entry) -> tuple[tuple[str, Money], tuple[str, Money]]:
    # In an accounting program what a debited account receives is positive.
    return (entry.debit, entry.amount), (entry.credit, -entry.amount)


def _rows(entry: Entry) -> list[tuple[str, ...]]:
    cause = str(entry.cause) if entry.cause else ""
    return [
        (
            show_id("line", entry.id),
            entry.at.isoformat(),
            entry.kind,
            account,
            amount.decimal(),
            cause,
            _harmless(entry.note),
        )
        for account, amount in _postings(entry)
    ]


def _shape(entry: Entry) -> dict[str, object]:
    return {
        "entry": show_id("line", entry.id),
        "at": entry.at.isoformat(),
        "kind": entry.kind,
        "cause": str(entry.cause) if entry.cause else None,
        "note": entry.note,
        "postings": [{"account": account, "amount_usd": amount.decimal()} for account, amount in _postings(entry)],
    }


def _hledger(entry: Entry) -> str:
    # A note is one line of the operator's or a card's name; what would end the description is taken out.
    note = " ".join(entry.note.replace(";", ",").replace("|", "/").split())
    lines = [f"\n{entry.at:%Y-%m-%d} ({show_id('line', entry.id)}) {entry.kind}{f' | {note}' if note else ''}\n"]
    lines += [f"    {account}  {amount.decimal()} USD\n" for account, amount in _postings(entry)]
    return "".join(lines)


def _harmless(text: str) -> str:
    # A spreadsheet takes what begins like this for a formula.
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@", "|")) else text


def _csv(rows: list[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()
