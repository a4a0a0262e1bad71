"""The audit: everything that must be true of the books, said in sentences where it is not."""

from pouch.base.database import Connection
from pouch.base.money import Money

_BALANCES = """
SELECT a.organization_id, a.kind, a.balance_nanos, coalesce(c.total, 0) - coalesce(d.total, 0)
  FROM ledger_accounts AS a
  LEFT JOIN (SELECT credit_account_id AS id, sum(amount_nanos) AS total
               FROM ledger_transfers GROUP BY 1) AS c USING (id)
  LEFT JOIN (SELECT debit_account_id AS id, sum(amount_nanos) AS total
               FROM ledger_transfers GROUP BY 1) AS d USING (id)
 WHERE a.organization_id IS NOT NULL AND a.balance_nanos <> coalesce(c.total, 0) - coalesce(d.total, 0)
"""
_HELD = """
SELECT a.organization_id, a.held_nanos, coalesce(h.total, 0)
  FROM ledger_accounts AS a
  LEFT JOIN (SELECT account_id AS id, sum(amount_nanos) AS total
               FROM ledger_holds WHERE state = 'open' GROUP BY 1) AS h USING (id)
 WHERE a.held_nanos <> coalesce(h.total, 0)
"""
_OVERSPENT = """
SELECT organization_id, balance_nanos, held_nanos FROM ledger_accounts
 WHERE kind = 'customer' AND (balance_nanos < held_nanos OR held_nanos < 0)
"""
# Each transfer states the balance it left behind; summing up from the first must give the same at every step.
_RUNNING = """
SELECT id, stated, summed FROM (
    SELECT id, customer_id, balance_after_nanos AS stated,
           sum(CASE WHEN credit_account_id = customer_id THEN amount_nanos ELSE -amount_nanos END)
               OVER (PARTITION BY customer_id ORDER BY seq) AS summed
      FROM ledger_transfers WHERE customer_id IS NOT NULL) AS t
 WHERE stated <> summed OR summed < 0
 LIMIT 20
"""
_TIME_BACKWARDS = """
SELECT id, at, previous FROM (
    SELECT id, at, lag(at) OVER (PARTITION BY customer_id ORDER BY seq) AS previous
      FROM ledger_transfers WHERE customer_id IS NOT NULL) AS t
 WHERE at < previous
 LIMIT 20
"""
_CAPTURES = """
SELECT h.id, h.captured_nanos, coalesce(t.amount_nanos, 0)
  FROM ledger_holds AS h LEFT JOIN ledger_transfers AS t ON t.id = h.id
 WHERE coalesce(h.captured_nanos, 0) <> coalesce(t.amount_nanos, 0)
 LIMIT 20
"""
_LIMITS = """
SELECT l.subject, l.held_nanos, coalesce(sum(h.amount_nanos), 0)
  FROM ledger_limits AS l
  LEFT JOIN ledger_holds AS h ON h.state = 'open' AND l.id = ANY(h.limit_ids) AND h.placed_at >= l.period_start
 GROUP BY l.id
HAVING l.held_nanos <> coalesce(sum(h.amount_nanos), 0)
"""
_SUM = """
SELECT coalesce(sum(balance), 0) FROM (
    SELECT balance_nanos AS balance FROM ledger_accounts WHERE organization_id IS NOT NULL
    UNION ALL
    SELECT CASE WHEN t.credit_account_id = a.id THEN t.amount_nanos ELSE -t.amount_nanos END
      FROM ledger_accounts AS a JOIN ledger_transfers AS t ON a.id IN (t.credit_account_id, t.debit_account_id)
     WHERE a.organization_id IS NULL) AS all_accounts
"""


async def check(db: Connection) -> list[str]:
    """Read the whole ledger and say every difference; an empty list means that all is well.

    Call it in a transaction of isolation REPEATABLE READ (`check_now` does), so that all of it is one moment.
    """
    found: list[str] = []
    for organization, kind, kept, summed in await _rows(db, _BALANCES):
        found.append(
            f"{kind} account of {organization}: balance {_usd(kept)}, but its transfers add up to {_usd(summed)}"
        )
    for organization, kept, summed in await _rows(db, _HELD):
        found.append(f"account of {organization}: held {_usd(kept)}, but its open holds add up to {_usd(summed)}")
    for organization, posted, held in await _rows(db, _OVERSPENT):
        found.append(f"account of {organization}: balance {_usd(posted)} is below what is held, {_usd(held)}")
    for id_, stated, summed in await _rows(db, _RUNNING):
        found.append(f"transfer {id_}: states {_usd(stated)} as the balance after it, but it was {_usd(summed)}")
    for id_, at, previous in await _rows(db, _TIME_BACKWARDS):
        found.append(f"transfer {id_}: is of {at}, but the one before it of {previous}")
    for id_, captured, moved in await _rows(db, _CAPTURES):
        found.append(f"hold {id_}: captured {_usd(captured or 0)}, but its transfer moved {_usd(moved)}")
    for subject, kept, summed in await _rows(db, _LIMITS):
        found.append(f"limit of {subject}: held {_usd(kept)}, but its open holds add up to {_usd(summed)}")
    ((total,),) = await _rows(db, _SUM)
    if total:
        found.append(f"all accounts together come to {_usd(total)}, not to zero")
    return found


async def check_now(db: Connection) -> list[str]:
    """`check` of one moment. `db` must not have begun a transaction's first statement."""
    await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    await db.execute("SET LOCAL statement_timeout = 0")
    return await check(db)


async def _rows(db: Connection, query: str) -> list[tuple[int, ...]]:
    return await (await db.execute(query.encode())).fetchall()


def _usd(nanos: int) -> str:
    return str(Money(int(nanos)))


async def size(db: Connection) -> tuple[int, int]:
    """How many accounts and transfers there are."""
    rows = await _rows(db, "SELECT (SELECT count(*) FROM ledger_accounts), (SELECT count(*) FROM ledger_transfers)")
    return rows[0][0], rows[0][1]
