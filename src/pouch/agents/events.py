"""The events of a run: appended under its lock, so their numbers have no gaps and readers miss nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson

from pouch.base.database import Connection

BODY_BYTES_MAX = 60_000
TEXT_CHARACTERS_MAX = 8_000
"""Of one text in an event; longer ones keep their beginning and their end, and are whole in the log."""

New = tuple[str, Mapping[str, object]]
"""Type and body of an event that is to be written."""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that happened in a run."""

    seq: int
    at: datetime
    type: str
    body: Mapping[str, object]


async def append(db: Connection, run_id: UUID, new: Sequence[New], *, epoch: int | None = None) -> bool:
    """Write events in order. With `epoch`: only if that claim still holds, else False and nothing is written."""
    if not new:
        return True
    rows = await db.execute(
        """
        UPDATE agent_runs SET last_seq = last_seq + %(count)s
         WHERE id = %(id)s AND (%(epoch)s::bigint IS NULL OR (epoch = %(epoch)s AND lease_until IS NOT NULL))
        RETURNING last_seq
        """,
        {"count": len(new), "id": run_id, "epoch": epoch},
    )
    row = await rows.fetchone()
    if row is None:
        return False
    first = row[0] - len(new) + 1
    await db.execute(
        """
        INSERT INTO agent_run_events (run_id, seq, type, body)
        SELECT %s, %s + n - 1, type, body::jsonb
          FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS u (type, body, n)
        """,
        (run_id, first, [type_ for type_, _ in new], [_written(body) for _, body in new]),
    )
    return True


async def events_after(db: Connection, run_id: UUID, seq: int, *, limit: int = 200) -> list[RunEvent]:
    """The events after one, oldest first."""
    rows = await db.execute(
        "SELECT seq, at, type, body FROM agent_run_events WHERE run_id = %s AND seq > %s ORDER BY seq LIMIT %s",
        (run_id, seq, limit),
    )
    return [RunEvent(*row) for row in await rows.fetchall()]


async def last_events(db: Connection, run_id: UUID, *, limit: int) -> list[RunEvent]:
    """The newest events, oldest first."""
    rows = await db.execute(
        "SELECT seq, at, type, body FROM agent_run_events WHERE run_id = %s ORDER BY seq DESC LIMIT %s",
        (run_id, limit),
    )
    return [RunEvent(*row) for row in reversed(await rows.fetchall())]


async def last_question(db: Connection, run_id: UUID) -> str:
    """What the agent asked last."""
    rows = await db.execute(
        """
        SELECT coalesce(body->>'text', '') FROM agent_run_events
         WHERE run_id = %s AND type = 'message' AND body->>'is_question' = 'true' ORDER BY seq DESC LIMIT 1
        """,
        (run_id,),
    )
    row = await rows.fetchone()
    return row[0] if row else ""


def shortened(text: str, most: int = TEXT_CHARACTERS_MAX) -> str:
    """A text that fits, with a mark where its middle was."""
    if len(text) <= most:
        return text
    half = (most - 40) // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters …\n{text[-half:]}"


def _written(body: Mapping[str, object]) -> str:
    fitting = {name: shortened(value) if isinstance(value, str) else value for name, value in body.items()}
    written = orjson.dumps(fitting).decode("utf-8", "replace")
    if len(written) > BODY_BYTES_MAX:
        written = orjson.dumps({"text": shortened(written, 4_000), "is_cut": True}).decode()
    # Postgres keeps no NUL in jsonb, and what a program prints may hold one.
    return written.replace("\\u0000", "\\ufffd")
