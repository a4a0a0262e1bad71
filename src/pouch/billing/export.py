"""The ledger as a file: CSV for spreadsheets, JSON for programs; every line, all nine decimals."""

import csv
import io
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from uuid import UUID

import orjson

from pouch.base.ids import show_id
from pouch.base.money import ZERO
from pouch.billing.lines import Charge
from pouch.billing.words import LINE_KINDS

COLUMNS = (
    "line",
    "at",
    "kind",
    "what",
    "note",
    "cause",
    "model",
    "key",
    "tokens_in",
    "tokens_cached",
    "tokens_out",
    "amount_usd",
    "balance_usd",
)
_FORMULA = re.compile(r"\s*[=+\-@|]|[\t\r\n]")
_AMOUNT = re.compile(r"-?[0-9]+\.[0-9]{9}", re.ASCII)


async def csv_of(chunks: AsyncIterator[list[Charge]], key_names: Mapping[UUID, str]) -> AsyncIterator[str]:
    """Write a CSV file with a header line. Text that a spreadsheet would take for a formula gets a ' before it."""
    yield _csv([COLUMNS])
    async for chunk in chunks:
        yield _csv([[_harmless(value) for value in _row(charge, key_names).values()] for charge in chunk])


async def json_of(chunks: AsyncIterator[list[Charge]], key_names: Mapping[UUID, str]) -> AsyncIterator[bytes]:
    """Write `{"lines": […], "count": n, "sum_usd": "…"}`. Amounts are texts, since a JSON number is not exact."""
    count, total = 0, ZERO
    yield b'{"lines":['
    async for chunk in chunks:
        for charge in chunk:
            yield (b",\n" if count else b"\n") + orjson.dumps(shape_of(charge, key_names))
            count += 1
            total += charge.line.amount
    yield b'\n],"count":%d,"sum_usd":"%s"}\n' % (count, total.decimal().encode())


def shape_of(charge: Charge, key_names: Mapping[UUID, str]) -> dict[str, str | int]:
    """One line for programs: without what it does not have."""
    return {name: value for name, value in _row(charge, key_names).items() if value != ""}


def _row(charge: Charge, key_names: Mapping[UUID, str]) -> dict[str, str | int]:
    line, call = charge.line, charge.call
    values: Sequence[str | int] = (
        show_id("line", line.id),
        line.at.isoformat(),
        line.kind,
        LINE_KINDS[line.kind],
        line.note,
        _cause(charge),
        call.model_id if call else "",
        key_names.get(call.key_id, "") if call else "",
        call.counts.input_total if call else "",
        call.counts.cache_read if call else "",
        call.counts.output_total if call else "",
        line.amount.decimal(),
        line.balance_after.decimal(),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _cause(charge: Charge) -> str:
    if charge.call is not None:
        return show_id("gen", charge.call.id)
    if charge.line.kind == "purchase" and charge.line.cause is not None:
        return show_id("pur", charge.line.cause)
    return ""


def _harmless(value: str | int) -> str | int:
    """A text that cannot run. Our own amounts begin with a minus and are nothing but digits, so they stay numbers."""
    if isinstance(value, int) or _AMOUNT.fullmatch(value) or not _FORMULA.match(value):
        return value
    return f"'{value}"


def _csv(rows: Sequence[Sequence[str | int]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()
