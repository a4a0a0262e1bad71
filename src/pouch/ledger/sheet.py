"""The balance sheet: what is in each kind of account. Together it is zero."""

from pouch.base.database import Connection
from pouch.base.money import Money


async def sheet(db: Connection) -> dict[str, Money]:
    """The balance of each kind of account: what came less what went; customers first, all of them added up.

    The customers' balances are kept, and those of the operator's books are added up from all transfers. One statement,
    so that both are of one moment.
    """
    rows = await db.execute(
        """
        WITH moved AS (
            SELECT id, sum(nanos) AS nanos FROM (
                SELECT credit_account_id AS id, sum(amount_nanos) AS nanos FROM ledger_transfers GROUP BY 1
                UNION ALL
                SELECT debit_account_id, -sum(amount_nanos) FROM ledger_transfers GROUP BY 1) AS both_sides
             GROUP BY id
        )
        SELECT a.kind,
               sum(CASE WHEN a.organization_id IS NULL THEN coalesce(m.nanos, 0) ELSE a.balance_nanos END)::bigint
          FROM ledger_accounts AS a LEFT JOIN moved AS m USING (id)
         GROUP BY a.kind ORDER BY a.kind NOT IN ('customer', 'receivable'), min(a.id)
        """
    )
    return {kind: Money(nanos) for kind, nanos in await rows.fetchall()}
