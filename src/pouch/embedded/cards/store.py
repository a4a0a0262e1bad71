"""Reading and writing rows. The columns are the fields of the dataclasses in `types`, so each query lists them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, TypeVar

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from pouch.base.database import Connection
from pouch.embedded.cards.types import Charge, Intent, Refund, Row, Session

T = TypeVar("T", bound=Row)


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of a list: so many rows, older than `after` or newer than `before` (ids, not both)."""

    limit: int
    after: str | None = None
    before: str | None = None


def _columns(kind: type[Row]) -> str:
    return ", ".join(field.name for field in fields(kind))


def _value(value: object) -> object:
    return Jsonb(value) if isinstance(value, dict | list) else value


async def add(db: Connection, row: T) -> T:
    """Write a new row and give it back."""
    names = [field.name for field in fields(row)]
    await db.execute(
        f"INSERT INTO {row.TABLE} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})",
        [_value(getattr(row, name)) for name in names],
    )
    return row


async def change(db: Connection, row: T, **values: object) -> T:
    """Write these columns of a row that this transaction holds locked, and give the row as it is now."""
    await db.execute(
        f"UPDATE {row.TABLE} SET {', '.join(f'{name} = %s' for name in values)} WHERE id = %s",
        [*map(_value, values.values()), row.id],
    )
    changed: dict[str, Any] = values  # `replace` wants each field's own type, which only the callers know
    return replace(row, **changed)


async def find(db: Connection, kind: type[T], row_id: str | None) -> T | None:
    """The row with this id."""
    return await _one(db, kind, "", row_id)


async def lock(db: Connection, kind: type[T], row_id: str | None) -> T | None:
    """The row with this id, held until the transaction ends. Sessions are locked before their intents."""
    return await _one(db, kind, "FOR UPDATE", row_id)


async def _one(db: Connection, kind: type[T], lock_clause: str, row_id: str | None) -> T | None:
    if row_id is None or "\x00" in row_id:
        return None
    cursor = db.cursor(row_factory=class_row(kind))
    await cursor.execute(f"SELECT {_columns(kind)} FROM {kind.TABLE} WHERE id = %s {lock_clause}", (row_id,))
    return await cursor.fetchone()


async def page(
    db: Connection,
    kind: type[T],
    where: Mapping[str, object],
    span: Span,
) -> tuple[list[T], bool]:
    """Rows that meet every condition, newest first, and whether there are more.

    Each condition is SQL of ours with one `%s`, and its value.
    """
    conditions, values = [*where], [*where.values()]
    if span.after is not None:
        conditions.append(f"seq < (SELECT seq FROM {kind.TABLE} WHERE id = %s)")
        values.append(span.after)
    if span.before is not None:
        conditions.append(f"seq > (SELECT seq FROM {kind.TABLE} WHERE id = %s)")
        values.append(span.before)
    cursor = db.cursor(row_factory=class_row(kind))
    await cursor.execute(
        f"""
        SELECT {_columns(kind)} FROM {kind.TABLE}
         WHERE {" AND ".join(conditions) or "true"}
         ORDER BY seq {"ASC" if span.before else "DESC"} LIMIT %s
        """,
        [*values, span.limit + 1],
    )
    rows = await cursor.fetchall()
    has_more = len(rows) > span.limit
    rows = rows[: span.limit]
    return (rows[::-1] if span.before else rows), has_more


async def session_of(db: Connection, intent_id: str) -> str | None:
    """The id of the session that an intent was made for."""
    cursor = await db.execute("SELECT id FROM cards_sessions WHERE intent_id = %s", (intent_id,))
    row = await cursor.fetchone()
    return str(row[0]) if row else None


async def overdue_sessions(db: Connection, now: datetime) -> Sequence[str]:
    """Open sessions whose time is over."""
    cursor = await db.execute(
        f"SELECT id FROM {Session.TABLE} WHERE status = 'open' AND expires_at <= %s ORDER BY expires_at LIMIT 100",
        (now,),
    )
    return [str(row[0]) for row in await cursor.fetchall()]


async def due_intents(db: Connection, now: datetime) -> Sequence[str]:
    """Payments under way whose bank answers now."""
    cursor = await db.execute(
        f"SELECT id FROM {Intent.TABLE} WHERE status = 'processing' AND settle_at <= %s ORDER BY settle_at LIMIT 100",
        (now,),
    )
    return [str(row[0]) for row in await cursor.fetchall()]


async def due_refunds(db: Connection, now: datetime) -> Sequence[str]:
    """Refunds under way whose bank answers now."""
    cursor = await db.execute(
        f"SELECT id FROM {Refund.TABLE} WHERE settle_at <= %s ORDER BY settle_at LIMIT 100", (now,)
    )
    return [str(row[0]) for row in await cursor.fetchall()]


async def troubled_charges(db: Connection, now: datetime) -> Sequence[str]:
    """Charges whose cardholder's bank acts now."""
    cursor = await db.execute(
        f"SELECT id FROM {Charge.TABLE} WHERE trouble_at <= %s ORDER BY trouble_at LIMIT 100", (now,)
    )
    return [str(row[0]) for row in await cursor.fetchall()]
