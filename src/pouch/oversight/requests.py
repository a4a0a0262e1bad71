"""Requests from one operator to the others. Each move is a compare-and-set on state, time and who it is."""

from datetime import timedelta
from typing import Literal
from uuid import UUID

from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from pouch.base.database import Connection
from pouch.base.errors import Conflict, NotFound
from pouch.base.ids import derived_id
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.identity.people import operator_addresses
from pouch.mail import outbox
from pouch.oversight.errors import NotNow
from pouch.oversight.types import Ask, Operator, Request
from pouch.web.filters import dollars

WAITS = timedelta(hours=72)
"""So long a request can be allowed, and then be used."""

_COLUMNS = """
id, kind, amount_nanos, summary, wish,
CASE WHEN state IN ('waiting', 'allowed') AND expires_at <= now() THEN 'over' ELSE state END AS state,
asked_by, asked_email, asked_at, expires_at, decided_email, decided_at
"""


async def ask(db: Connection, operator: Operator, wanted: Ask) -> Request:
    """Ask the other operators, and write to them. The same attempt is the same request; Conflict for another wish."""
    request_id = derived_id(f"oversight:{operator.person_id}:{wanted.attempt}")
    added = await db.execute(
        """
        INSERT INTO oversight_requests (id, kind, amount_nanos, summary, wish, asked_by, asked_email, expires_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, now() + %s)
        ON CONFLICT (id) DO NOTHING
        """,
        (
            request_id,
            wanted.kind,
            wanted.amount.nanos,
            wanted.summary,
            Jsonb(dict(wanted.wish)),
            operator.person_id,
            operator.email,
            WAITS,
        ),
    )
    request = await get(db, request_id)
    if added.rowcount == 0 and (request.kind, request.wish) != (wanted.kind, dict(wanted.wish)):
        raise Conflict(say("This form has already asked for something else. Open the page again."))
    if added.rowcount:
        await _tell(db, operator, request)
    return request


async def get(db: Connection, request_id: UUID) -> Request:
    """A request as it is now. Raises NotFound."""
    cursor = db.cursor(row_factory=dict_row)
    rows = await cursor.execute(f"SELECT {_COLUMNS} FROM oversight_requests WHERE id = %s", (request_id,))
    row = await rows.fetchone()
    if row is None:
        raise NotFound(say("There is no such request."))
    return _request(row)


async def allow(
    db: Connection, request_id: UUID, operator: Operator, *, into: Literal["allowed", "done"] = "done"
) -> Request:
    """Allow it, as another operator than the one who asked. Raises NotNow, and NotFound.

    `done` says that the caller does it in the same transaction; `allowed` leaves that to the asker, once.
    """
    moved = await db.execute(
        """
        UPDATE oversight_requests
           SET state = %(into)s, decided_by = %(by)s, decided_email = %(email)s, decided_at = now()
         WHERE id = %(id)s AND state = 'waiting' AND expires_at > now() AND asked_by <> %(by)s
        """,
        {"into": into, "by": operator.person_id, "email": operator.email, "id": request_id},
    )
    return await _after(db, request_id, operator, moved.rowcount)


async def use(db: Connection, request_id: UUID, operator: Operator) -> Request:
    """Take what was allowed, as who asked for it: the caller does it in the same transaction. Once. Raises NotNow."""
    moved = await db.execute(
        """
        UPDATE oversight_requests SET state = 'done'
         WHERE id = %s AND state = 'allowed' AND expires_at > now() AND asked_by = %s
        """,
        (request_id, operator.person_id),
    )
    return await _after(db, request_id, operator, moved.rowcount)


async def refuse(db: Connection, request_id: UUID, operator: Operator) -> Request:
    """Say no, as another operator; whoever asked takes it back instead. Raises NotNow, and NotFound."""
    moved = await db.execute(
        """
        UPDATE oversight_requests
           SET state = CASE WHEN asked_by = %(by)s THEN 'withdrawn' ELSE 'refused' END,
               decided_by = %(by)s, decided_email = %(email)s, decided_at = now()
         WHERE id = %(id)s AND state IN ('waiting', 'allowed')
        """,
        {"by": operator.person_id, "email": operator.email, "id": request_id},
    )
    return await _after(db, request_id, operator, moved.rowcount)


async def waiting(db: Connection) -> list[Request]:
    """What waits for somebody, oldest first."""
    return await _find(db, "state IN ('waiting', 'allowed') AND expires_at > now() ORDER BY asked_at, id LIMIT 200")


async def decided(db: Connection) -> list[Request]:
    """The newest of the others."""
    return await _find(
        db, "NOT (state IN ('waiting', 'allowed') AND expires_at > now()) ORDER BY asked_at DESC, id LIMIT 50"
    )


async def count_waiting(db: Connection) -> int:
    """How many wait for another operator."""
    rows = await db.execute("SELECT count(*) FROM oversight_requests WHERE state = 'waiting' AND expires_at > now()")
    row = await rows.fetchone()
    assert row is not None
    return int(row[0])


async def _find(db: Connection, where: str) -> list[Request]:
    cursor = db.cursor(row_factory=dict_row)
    rows = await cursor.execute(f"SELECT {_COLUMNS} FROM oversight_requests WHERE {where}".encode())
    return [_request(row) for row in await rows.fetchall()]


async def _after(db: Connection, request_id: UUID, operator: Operator, moved: int) -> Request:
    request = await get(db, request_id)
    if not moved:
        raise NotNow(request, is_own=request.asked_by == operator.person_id)
    return request


async def _tell(db: Connection, operator: Operator, request: Request) -> None:
    """Write to every other operator. The letter says no more than the desk does."""
    for address in await operator_addresses(db):
        if address == operator.email:
            continue
        context = {
            "what": f"{operator.email} asks for {dollars(request.amount)}",
            "text": f"{request.summary}\nIt waits until another operator allows it.",
            "path": f"/admin/approvals/{request.shown_id}",
        }
        await outbox.write(db, outbox.Letter(f"oversight:{request.id}:{address}", address, "operator_alert", context))


def _request(row: DictRow) -> Request:
    return Request(amount=Money(row.pop("amount_nanos")), **row)
