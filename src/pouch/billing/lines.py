"""The lines of an organization's ledger as its pages and exports show them: chosen, with the calls behind them."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, get_args
from urllib.parse import urlencode
from uuid import UUID

from psycopg.rows import TupleRow

from pouch.base.database import Connection, Database
from pouch.base.ids import read_id, show_id
from pouch.base.money import Money
from pouch.ledger.history import Line
from pouch.ledger.operations import TransferKind
from pouch.usage.store import find_calls
from pouch.usage.types import Call

Choice = Literal["calls", "purchases", "grants", "other"]
CHOICES: dict[Choice, tuple[TransferKind, ...]] = {
    "calls": ("inference", "overrun"),
    "purchases": ("purchase",),
    "grants": ("grant", "expiry", "revoked"),
    "other": ("fee", "tax", "agents", "refund", "dispute", "debt", "adjustment"),
}
CHUNK = 1_000
"""Lines that an export reads at once."""
ADDED_MAX = 5_000
"""More chosen lines than these are not added up on the page; the export does."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are meant. `first_day` and `last_day` are UTC, both included; a model or key means its calls."""

    choice: Choice | None = None
    first_day: date | None = None
    last_day: date | None = None
    model_id: str | None = None
    key_id: UUID | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Wanted":
        """Read an address. What cannot be read is left out."""
        choice = next((each for each in get_args(Choice) if query.get("kind") == each), None)
        model_id = query.get("model", "")[:200].replace("\x00", "") or None
        return cls(choice, _day(query, "from"), _day(query, "to"), model_id, read_id("key", query.get("key", "")))

    @property
    def query(self) -> str:
        """The same as it stands in an address."""
        choices = {
            "kind": self.choice,
            "from": self.first_day,
            "to": self.last_day,
            "model": self.model_id,
            "key": show_id("key", self.key_id) if self.key_id else None,
        }
        return urlencode({name: str(value) for name, value in choices.items() if value})

    @property
    def is_everything(self) -> bool:
        """Whether no line is left out."""
        return self == EVERYTHING


EVERYTHING = Wanted()


@dataclass(frozen=True, slots=True)
class Charge:
    """A line and, where it is one, the call that it charges."""

    line: Line
    call: Call | None = None


# A charge for a call has the call's own id. This is the one place where two rooms' tables meet in a statement: a filter
# by model or key needs both, and asking for ids first would read every call of a busy account.
_WITH_CALLS = "JOIN usage_calls AS u ON u.id = t.id AND u.organization_id = %(organization)s"
# Not a join: so the index gives the lines in their order, and fifty of them cost as much on every account.
_OWN = """t.customer_id = (SELECT id FROM ledger_accounts
                        WHERE organization_id = %(organization)s AND kind = 'customer')"""
_SIGNED = "CASE WHEN t.credit_account_id = t.customer_id THEN t.amount_nanos ELSE -t.amount_nanos END"
_COLUMNS = f"t.seq, t.id, t.at, t.kind, {_SIGNED} AS amount_nanos, t.balance_after_nanos, t.cause, t.note"


async def list_lines(
    db: Connection, organization_id: UUID, wanted: Wanted, *, before: int | None = None, limit: int
) -> list[Charge]:
    """The newest lines first; `before` is the `seq` of the last line of the page before."""
    source, values = _source(organization_id, wanted, before)
    rows = await db.execute(f"SELECT {_COLUMNS} {source} ORDER BY t.seq DESC LIMIT {limit}".encode(), values)
    return await _charges(db, organization_id, await rows.fetchall())


async def sum_lines(db: Connection, organization_id: UUID, wanted: Wanted) -> tuple[int, Money] | None:
    """How many lines there are and what they add up to. None when there are more than ADDED_MAX."""
    source, values = _source(organization_id, wanted)
    rows = await db.execute(
        f"""
        SELECT count(*), coalesce(sum(amount_nanos), 0)::bigint
          FROM (SELECT {_COLUMNS} {source} LIMIT {ADDED_MAX + 1}) AS lines
        """.encode(),
        values,
    )
    ((lines, total),) = await rows.fetchall()
    return (lines, Money(total)) if lines <= ADDED_MAX else None


async def find_line(db: Connection, organization_id: UUID, line_id: UUID) -> Charge | None:
    """One line of this organization. None for everybody else's."""
    rows = await db.execute(
        f"SELECT {_COLUMNS} FROM ledger_transfers AS t WHERE {_OWN} AND t.id = %(id)s".encode(),
        {"organization": organization_id, "id": line_id},
    )
    return next(iter(await _charges(db, organization_id, await rows.fetchall())), None)


async def every_line(database: Database, organization_id: UUID, wanted: Wanted) -> AsyncIterator[list[Charge]]:
    """All lines, newest first, in chunks. Between two chunks no connection is held, however slowly somebody reads."""
    before: int | None = None
    while True:
        async with database.transaction() as db:
            chunk = await list_lines(db, organization_id, wanted, before=before, limit=CHUNK)
        if chunk:
            yield chunk
            before = chunk[-1].line.seq
        if len(chunk) < CHUNK:
            return


async def _charges(db: Connection, organization_id: UUID, rows: list[TupleRow]) -> list[Charge]:
    lines = [
        Line(seq, id_, at, kind, Money(amount), Money(after), cause, note)
        for seq, id_, at, kind, amount, after, cause, note in rows
    ]
    calls = await find_calls(db, organization_id, [line.id for line in lines if line.kind == "inference"])
    return [Charge(line, calls.get(line.id)) for line in lines]


def _source(organization_id: UUID, wanted: Wanted, before: int | None = None) -> tuple[str, dict[str, object]]:
    is_of_calls = wanted.model_id is not None or wanted.key_id is not None
    conditions = [
        _OWN,
        "t.seq < %(before)s" if before is not None else "",
        "u.model_id = %(model)s" if wanted.model_id is not None else "",
        "u.key_id = %(key)s" if wanted.key_id is not None else "",
        "t.kind = ANY(%(kinds)s)" if wanted.choice is not None else "",
        "t.at >= (%(first)s::date)::timestamp AT TIME ZONE 'UTC'" if wanted.first_day is not None else "",
        "t.at < (%(end)s::date)::timestamp AT TIME ZONE 'UTC'" if wanted.last_day is not None else "",
    ]
    where = " AND ".join(filter(None, conditions))
    return f"FROM ledger_transfers AS t {_WITH_CALLS if is_of_calls else ''} WHERE {where}", {
        "organization": organization_id,
        "before": before,
        "model": wanted.model_id,
        "key": wanted.key_id,
        "kinds": list(CHOICES[wanted.choice]) if wanted.choice else [],
        "first": wanted.first_day,
        "end": wanted.last_day + timedelta(days=1) if wanted.last_day else None,
    }


def _day(query: Mapping[str, str], name: str) -> date | None:
    text = query.get(name, "")
    try:
        day = date.fromisoformat(text) if len(text) == len("2026-11-24") else None
    except ValueError:
        return None
    # Years that no account has, and whose last day has no day after.
    return day if day and 2000 <= day.year <= 9000 else None
