"""The usual way, to compare with: each hold and each capture is a transaction of its own that locks the account's row.

It keeps the same rules for the case that all is well (credits, limits, the hold's state) in the same tables, so that
the same audit passes. It is given every help that is usual: connections from a pool, prepared statements, and one round
trip for all that can be sent together. So an operation is two round trips: lock and read, then write and commit.
"""

from types import TracebackType
from typing import Self

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from pouch.ledger.accounts import SYSTEM_ACCOUNT_IDS
from pouch.ledger.operations import Admitted, Capture, Captured, Hold

CONNECTIONS = 32
"""Of 8, 16, 32 and 64 the quickest on one hot account or close to it, and far ahead of 8 on many."""

_LOCK_ACCOUNT = """
SELECT id, balance_nanos - held_nanos, balance_nanos FROM ledger_accounts
 WHERE organization_id = %s AND kind = 'customer' FOR UPDATE
"""
_LOCK_LIMITS = "SELECT id, cap_nanos - spent_nanos - held_nanos FROM ledger_limits WHERE subject = ANY(%s) FOR UPDATE"
_PLACE = """
INSERT INTO ledger_holds (id, account_id, amount_nanos, limit_ids, placed_at) VALUES (%s, %s, %s, %s, clock_timestamp())
"""
_HOLD_CREDITS = "UPDATE ledger_accounts SET held_nanos = held_nanos + %s WHERE id = %s"
_HOLD_LIMITS = "UPDATE ledger_limits SET held_nanos = held_nanos + %s WHERE id = ANY(%s)"
_READ_HOLD = "SELECT amount_nanos, state FROM ledger_holds WHERE id = %s"
_CLOSE = """
UPDATE ledger_holds SET state = 'captured', closed_at = clock_timestamp(), captured_nanos = %s, overrun_nanos = 0
 WHERE id = %s
"""
_MOVE = """
INSERT INTO ledger_transfers
       (id, at, debit_account_id, credit_account_id, amount_nanos, kind, customer_id, balance_after_nanos)
VALUES (%s, clock_timestamp(), %s, %s, %s, %s, %s, %s)
"""
_CHARGE_CREDITS = """
UPDATE ledger_accounts SET balance_nanos = balance_nanos - %s, held_nanos = held_nanos - %s WHERE id = %s
"""
_CHARGE_LIMITS = """
UPDATE ledger_limits SET spent_nanos = spent_nanos + %s, held_nanos = held_nanos - %s WHERE id = ANY(%s)
"""


class RowLock:
    """A ledger with the same two doors as the group writer."""

    def __init__(self, url: str) -> None:
        self._pool = AsyncConnectionPool(
            url, min_size=CONNECTIONS, max_size=CONNECTIONS, open=False, timeout=60, kwargs={"autocommit": True}
        )

    async def __aenter__(self) -> Self:
        await self._pool.open(wait=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._pool.close()

    async def hold(self, hold: Hold) -> Admitted:
        """Set credits aside."""
        async with self._pool.connection() as db, db.pipeline() as trip:
            account_id, available, _, limits = await _lock(db, hold)
            assert available >= hold.amount_nanos
            assert all(left >= hold.amount_nanos for _, left in limits)
            limit_ids = [limit_id for limit_id, _ in limits]
            await db.execute(_PLACE, (hold.id, account_id, hold.amount_nanos, limit_ids))
            await db.execute(_HOLD_CREDITS, (hold.amount_nanos, account_id))
            await db.execute(_HOLD_LIMITS, (hold.amount_nanos, limit_ids))
            await db.execute("COMMIT")
            await trip.sync()
        return Admitted()

    async def capture(self, capture: Capture) -> Captured:
        """Charge a hold."""
        hold, cost = capture.hold, capture.cost_nanos
        async with self._pool.connection() as db, db.pipeline() as trip:
            found = await db.execute(_READ_HOLD, (hold.id,))
            account_id, _, balance, limits = await _lock(db, hold)
            row = await found.fetchone()
            assert row == (hold.amount_nanos, "open")
            limit_ids = [limit_id for limit_id, _ in limits]
            await db.execute(_CLOSE, (cost, hold.id))
            revenue = SYSTEM_ACCOUNT_IDS[capture.revenue]
            after = balance - cost
            await db.execute(_MOVE, (hold.id, account_id, revenue, cost, capture.kind, account_id, after))
            await db.execute(_CHARGE_CREDITS, (cost, hold.amount_nanos, account_id))
            await db.execute(_CHARGE_LIMITS, (cost, hold.amount_nanos, limit_ids))
            await db.execute("COMMIT")
            await trip.sync()
        return Captured(cost, 0)


async def _lock(db: AsyncConnection[TupleRow], hold: Hold) -> tuple[int, int, int, list[tuple[int, int]]]:
    await db.execute("BEGIN")
    accounts = await db.execute(_LOCK_ACCOUNT, (hold.organization_id,))
    limits = await db.execute(_LOCK_LIMITS, (list(hold.subjects),))
    account = await accounts.fetchone()
    assert account is not None
    return *account, [(limit_id, left) for limit_id, left in await limits.fetchall()]
