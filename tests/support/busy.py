"""A busy organization: many calls over the last days, charged line by line, as if Pouch had run all the while."""

from collections.abc import Sequence
from uuid import UUID

from pouch.base.database import Connection

MODELS = (
    "anthropic/claude-sonnet-4.5",
    "openai/gpt-5-mini",
    "google/gemini-2.5-flash",
    "deepseek/deepseek-v3.2",
    "pouch/paid",
)

_CALLS = """
INSERT INTO usage_calls
       (id, organization_id, person_id, key_id, model_id, upstream_id, price_id, tokens_input, tokens_output,
        tokens_cache_read, cost_nanos, charged_nanos, held_nanos, is_streamed, outcome, started_at, finished_at)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(random, 1, 3)
        || '8' || substr(random, 4, 15))::uuid,
       %(organization)s, %(person)s, (%(keys)s::uuid[])[1 + i %% %(key_count)s],
       (%(models)s::text[])[1 + (i / 7 + i / 3) %% %(model_count)s], 'test', NULL,
       200 + i %% 9000, 20 + i %% 900, CASE WHEN i %% 3 = 0 THEN i %% 40000 ELSE 0 END,
       cost, cost, cost * 4, true, 'done', at, at + interval '3 seconds'
  FROM (SELECT i, md5(i::text) AS random, 40000 + (i %% 977) * 1001 AS cost,
               now() - interval '1 minute' - (%(count)s - i) * (%(days)s * interval '1 day' / %(count)s) AS at
          FROM generate_series(1, %(count)s) AS i) AS calls
"""
_LINES = """
INSERT INTO ledger_transfers
       (id, at, debit_account_id, credit_account_id, amount_nanos, kind, customer_id, balance_after_nanos)
SELECT u.id, u.finished_at, a.id, r.id, u.charged_nanos, 'inference', a.id,
       a.balance_nanos - sum(u.charged_nanos) OVER (ORDER BY u.started_at, u.id)
  FROM usage_calls AS u
  JOIN ledger_accounts AS a ON a.organization_id = u.organization_id AND a.kind = 'customer'
 CROSS JOIN (SELECT id FROM ledger_accounts WHERE kind = 'revenue:inference') AS r
 WHERE u.organization_id = %(organization)s
 ORDER BY u.started_at, u.id
"""
_BALANCE = """
UPDATE ledger_accounts AS a
   SET balance_nanos = balance_nanos
                     - (SELECT sum(charged_nanos) FROM usage_calls WHERE organization_id = %(organization)s)
 WHERE a.organization_id = %(organization)s AND a.kind = 'customer'
"""


async def make_busy(
    db: Connection, organization_id: UUID, person_id: UUID, keys: Sequence[UUID], *, calls: int, days: int = 30
) -> None:
    """Give the organization that many charged calls, evenly over the days. It must have the credits for them."""
    values: dict[str, object] = {
        "organization": organization_id,
        "person": person_id,
        "keys": list(keys),
        "key_count": len(keys),
        "models": list(MODELS),
        "model_count": len(MODELS),
        "count": calls,
        "days": days,
    }
    await db.execute("SET LOCAL statement_timeout = 0")
    for statement in (_CALLS, _LINES, _BALANCE):
        await db.execute(statement, values if statement is _CALLS else {"organization": organization_id})
