"""The one function that changes balances: read under lock, judge (see `admission`), write.

Account rows are locked in the order of their ids, then limit rows in theirs, by everyone; so two posters never wait
for each other in a circle. All statements are driven by unnest() or = ANY(), so that they are only ever key look-ups.
Over the writer's `Trips`, `execute` sends nothing before an answer is wanted: a batch takes two round trips.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias
from uuid import UUID

from pouch.base.arrays import int8s, texts, time, times, uuids
from pouch.base.database import Connection
from pouch.base.ids import new_id
from pouch.base.trips import Executor
from pouch.ledger.admission import judge
from pouch.ledger.books import EVER, AccountRow, Books, HoldRow, LimitRow, TransferRow
from pouch.ledger.crossing import ThresholdRow
from pouch.ledger.errors import PostingMismatch, Refusal
from pouch.ledger.operations import (
    Answer,
    Capture,
    Captured,
    Closed,
    Hold,
    Mismatch,
    Operation,
    Receivable,
    Record,
    Recorded,
    Refused,
    Release,
    TakeBack,
    Transfer,
)

RecordWriter: TypeAlias = Callable[[Executor, Sequence[tuple[object, Answer]]], Awaitable[None]]
"""Writes other rooms' rows in the posting's transaction. Rows carry the operation's id; repeated ones do nothing."""


async def post(db: Connection, operations: Sequence[Operation]) -> list[Answer]:
    """Post the operations in the caller's transaction, all or none, and answer each.

    Repeating an operation changes nothing. Raises Refusal when a budget does not allow one, PostingMismatch when a
    key or id was used before for something else; the caller's transaction must then be rolled back.
    """
    answers = await post_batch(db, operations)
    for answer in answers:
        if isinstance(answer, Refused):
            raise Refusal(answer)
        if isinstance(answer, Mismatch):
            raise PostingMismatch(answer.reason)
    return answers


async def post_batch(
    db: Executor,
    operations: Sequence[Operation],
    write_records: RecordWriter | None = None,
    *,
    crossed: list[UUID] | None = None,
) -> list[Answer]:
    """Post independent operations in one transaction: each has its own answer and never fails its neighbours.

    `crossed` receives the organizations whose threshold was crossed by it.
    """
    books = await _read(db, operations)
    answers = judge(books, operations)
    await _insert(db, books)
    if write_records is not None:
        records = list(_records(operations, answers))
        if records:
            await write_records(db, records)
    await _close_holds(db, books)
    await _set_budgets(db, books)
    if books.new_crossings:
        await _insert_crossings(db, books)
        if crossed is not None:
            crossed.extend(row.organization_id for row in books.new_crossings)
    return answers


_LOCK_ACCOUNTS = """
SELECT id, kind, organization_id, balance_nanos, held_nanos FROM ledger_accounts
 WHERE organization_id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
_LOCK_LIMITS = """
SELECT id, subject, kind, period, cap_nanos, spent_nanos, held_nanos, period_start FROM ledger_limits
 WHERE subject = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
_READ_BLOCKS = "SELECT subject FROM ledger_blocks WHERE subject = ANY(%s)"
_READ_HOLDS = """
SELECT id, account_id, amount_nanos, state, lease_id, limit_ids, placed_at, captured_nanos, overrun_nanos
  FROM ledger_holds WHERE id = ANY(%s)
"""
_READ_TRANSFERS = """
SELECT id, debit_account_id, credit_account_id, amount_nanos, kind, customer_id, balance_after_nanos, cause, note
  FROM ledger_transfers WHERE id = ANY(%s)
"""
# Read after the locks are held, so that the times of one account's transfers never run backwards, and no threshold is
# judged by what it was before. The two are one statement, because one more would cost every batch.
_READ_MOMENT = """
SELECT clock_timestamp(), t.organization_id, t.state, t.threshold_nanos, t.pending_nanos,
       EXISTS (SELECT FROM ledger_crossings AS c WHERE c.organization_id = t.organization_id AND c.closed_at IS NULL)
  FROM (VALUES (1)) AS moment (one) LEFT JOIN ledger_thresholds AS t ON t.organization_id = ANY(%s)
"""


async def _read(db: Executor, operations: Sequence[Operation]) -> Books:
    organizations, subjects, holds, transfers = _touched(operations)
    account_rows = await db.execute(_LOCK_ACCOUNTS, (uuids(organizations),), binary=True)
    limit_rows = await db.execute(_LOCK_LIMITS, (uuids(subjects),), binary=True) if subjects else None
    block_rows = await db.execute(_READ_BLOCKS, (uuids(subjects),), binary=True) if subjects else None
    hold_rows = await db.execute(_READ_HOLDS, (uuids(holds),), binary=True) if holds else None
    transfer_rows = await db.execute(_READ_TRANSFERS, (uuids(transfers),), binary=True) if transfers else None
    moment_rows = await db.execute(_READ_MOMENT, (uuids(organizations),), binary=True)

    customers: dict[UUID, AccountRow] = {}
    receivables: dict[UUID, AccountRow] = {}
    for id_, kind, organization_id, balance, held in await account_rows.fetchall():
        (customers if kind == "customer" else receivables)[organization_id] = AccountRow(id_, balance, held)
    limits: dict[UUID, list[LimitRow]] = {}
    for row in await limit_rows.fetchall() if limit_rows is not None else ():
        limits.setdefault(row[1], []).append(LimitRow(*row))
    blocked = frozenset(row[0] for row in await block_rows.fetchall()) if block_rows is not None else frozenset()
    books = Books(EVER, customers, receivables, limits, blocked)
    for id_, account, amount, state, lease, limit_ids, placed_at, captured, overrun in (
        await hold_rows.fetchall() if hold_rows is not None else ()
    ):
        books.holds[id_] = HoldRow(
            account, amount, state, lease, tuple(limit_ids), placed_at, captured or 0, overrun or 0
        )
    for row in await transfer_rows.fetchall() if transfer_rows is not None else ():
        books.transfers[row[0]] = TransferRow(*row)
    moment = await moment_rows.fetchall()
    books.at = moment[0][0]
    books.thresholds = {row[1]: ThresholdRow(*row[2:]) for row in moment if row[1] is not None}
    return books


def _touched(operations: Sequence[Operation]) -> tuple[list[UUID], list[UUID], list[UUID], list[UUID]]:
    organizations: set[UUID] = set()
    subjects: set[UUID] = set()
    holds: list[UUID] = []
    transfers: list[UUID] = []
    for operation in operations:
        if isinstance(operation, Transfer):
            transfers.append(operation.id)
            for account in (operation.debit, operation.credit):
                if isinstance(account, UUID):
                    organizations.add(account)
                elif isinstance(account, Receivable):
                    organizations.add(account.organization_id)
        elif isinstance(operation, TakeBack):
            transfers += (operation.id, operation.debt_id)
            organizations.add(operation.organization_id)
        elif not isinstance(operation, Record):
            hold = operation if isinstance(operation, Hold) else operation.hold
            organizations.add(hold.organization_id)
            subjects.update(hold.subjects)
            holds.append(hold.id)
    return list(organizations), list(subjects), holds, transfers


_INSERT_HOLDS = """
INSERT INTO ledger_holds (id, account_id, amount_nanos, lease_id, limit_ids, placed_at)
SELECT u.id, u.account_id, u.amount, u.lease_id, u.limit_ids::bigint[], %s
  FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::uuid[], %s::text[])
       AS u (id, account_id, amount, lease_id, limit_ids)
"""
_CLOSE_HOLDS = """
UPDATE ledger_holds AS h
   SET state = u.state, closed_at = %s, captured_nanos = u.captured, overrun_nanos = u.overrun
  FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::bigint[]) AS u (id, state, captured, overrun)
 WHERE h.id = u.id
"""
_INSERT_TRANSFERS = """
INSERT INTO ledger_transfers
       (id, at, debit_account_id, credit_account_id, amount_nanos, kind, customer_id, balance_after_nanos, cause, note)
SELECT u.id, %s, u.debit, u.credit, u.amount, u.kind, u.customer, u.after, u.cause, u.note
  FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::uuid[],
              %s::text[]) AS u (id, debit, credit, amount, kind, customer, after, cause, note)
"""
_SET_ACCOUNTS = """
UPDATE ledger_accounts AS a SET balance_nanos = u.balance, held_nanos = u.held
  FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS u (id, balance, held) WHERE a.id = u.id
"""
_SET_LIMITS = """
UPDATE ledger_limits AS l SET spent_nanos = u.spent, held_nanos = u.held, period_start = u.period_start
  FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::timestamptz[]) AS u (id, spent, held, period_start)
 WHERE l.id = u.id
"""


async def _insert(db: Executor, books: Books) -> None:
    if books.new_holds:
        # A hold placed and closed in one batch is inserted open and closed by the statement after.
        rows = [books.holds[id_] for id_ in books.new_holds]
        await db.execute(
            _INSERT_HOLDS,
            (
                time(books.at),
                uuids(books.new_holds),
                int8s([row.account_id for row in rows]),
                int8s([row.amount for row in rows]),
                uuids([row.lease_id for row in rows]),
                texts([_array(row.limit_ids) for row in rows]),
            ),
            binary=True,
        )
    if books.new_transfers:
        new = books.new_transfers
        await db.execute(
            _INSERT_TRANSFERS,
            (
                time(books.at),
                uuids([row.id for row in new]),
                int8s([row.debit_id for row in new]),
                int8s([row.credit_id for row in new]),
                int8s([row.amount for row in new]),
                texts([row.kind for row in new]),
                int8s([row.customer_id for row in new]),
                int8s([row.balance_after for row in new]),
                uuids([row.cause for row in new]),
                texts([row.note for row in new]),
            ),
            binary=True,
        )


async def _close_holds(db: Executor, books: Books) -> None:
    if books.closed_holds:
        rows = [books.holds[id_] for id_ in books.closed_holds]
        await db.execute(
            _CLOSE_HOLDS,
            (
                time(books.at),
                uuids(books.closed_holds),
                texts([row.state for row in rows]),
                int8s([row.captured if row.state == "captured" else None for row in rows]),
                int8s([row.overrun if row.state == "captured" else None for row in rows]),
            ),
            binary=True,
        )


async def _set_budgets(db: Executor, books: Books) -> None:
    accounts = [row for rows in (books.customers, books.receivables) for row in rows.values() if row.changed]
    if accounts:
        columns = (
            int8s([row.id for row in accounts]),
            int8s([row.balance for row in accounts]),
            int8s([row.held for row in accounts]),
        )
        await db.execute(_SET_ACCOUNTS, columns, binary=True)
    limits = [row for rows in books.limits.values() for row in rows if row.changed]
    if limits:
        await db.execute(
            _SET_LIMITS,
            (
                int8s([row.id for row in limits]),
                int8s([row.spent for row in limits]),
                int8s([row.held for row in limits]),
                times([row.period_start for row in limits]),
            ),
            binary=True,
        )


_INSERT_CROSSINGS = """
INSERT INTO ledger_crossings (id, organization_id, cause, at, balance_nanos, pending_nanos, threshold_nanos)
SELECT u.id, u.organization_id, u.cause, %s, u.balance, u.pending, u.threshold
  FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])
       AS u (id, organization_id, cause, balance, pending, threshold)
    ON CONFLICT (organization_id) WHERE closed_at IS NULL DO NOTHING
"""


async def _insert_crossings(db: Executor, books: Books) -> None:
    new = books.new_crossings
    columns = (
        time(books.at),
        uuids([new_id() for _ in new]),
        uuids([row.organization_id for row in new]),
        texts([row.cause for row in new]),
        int8s([row.balance for row in new]),
        int8s([row.pending for row in new]),
        int8s([row.threshold for row in new]),
    )
    await db.execute(_INSERT_CROSSINGS, columns, binary=True)


def _array(ids: tuple[int, ...]) -> str:
    # unnest() would flatten an array of arrays, so each hold's limits travel as the text of an array.
    return "{" + ",".join(map(str, ids)) + "}" if ids else "{}"


def _records(operations: Sequence[Operation], answers: Sequence[Answer]) -> list[tuple[object, Answer]]:
    return [
        (operation.record, answer)
        for operation, answer in zip(operations, answers, strict=True)
        if isinstance(operation, Capture | Release | Record)
        and operation.record is not None
        and isinstance(answer, Captured | Closed | Recorded)
    ]
