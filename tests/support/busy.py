"""A busy organization: many calls over the last days, charged line by line, as if Pouch had run all the while."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.ledger.grants import grant
from pouch.ledger.operations import Transfer
from pouch.ledger.posting import post

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
        tokens_cache_read, cost_nanos, charged_nanos, held_nanos, is_streamed, outcome, started_at, finished_at,
        task_id)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(random, 1, 3)
        || '8' || substr(random, 4, 15))::uuid,
       %(organization)s, %(person)s, (%(keys)s::uuid[])[1 + i %% %(key_count)s],
       (%(models)s::text[])[1 + (i / 7 + i / 3) %% %(model_count)s], 'test', NULL,
       200 + i %% 9000, 20 + i %% 900, CASE WHEN i %% 3 = 0 THEN i %% 40000 ELSE 0 END,
       cost, cost, cost * 4, true, 'done', at, at + interval '3 seconds',
       md5((i / 25)::text)::uuid::text
  FROM (SELECT i, md5(i::text) AS random, 40000 + (i %% 977) * 1001 AS cost,
               now() - %(ago)s * interval '1 day' - interval '1 minute'
               - (%(count)s - i) * (%(days)s * interval '1 day' / %(count)s) AS at
          FROM generate_series(1, %(count)s) AS i) AS calls
"""
_LINES = """
WITH lines AS (
INSERT INTO ledger_transfers
       (id, at, debit_account_id, credit_account_id, amount_nanos, kind, customer_id, balance_after_nanos)
SELECT u.id, u.finished_at, a.id, r.id, u.charged_nanos, 'inference', a.id,
       a.balance_nanos - sum(u.charged_nanos) OVER (ORDER BY u.started_at, u.id)
  FROM usage_calls AS u
  JOIN ledger_accounts AS a ON a.organization_id = u.organization_id AND a.kind = 'customer'
 CROSS JOIN (SELECT id FROM ledger_accounts WHERE kind = 'revenue:inference') AS r
 WHERE u.organization_id = %(organization)s
   AND NOT EXISTS (SELECT FROM ledger_transfers AS t WHERE t.id = u.id)
 ORDER BY u.started_at, u.id
RETURNING amount_nanos
)
UPDATE ledger_accounts AS a
   SET balance_nanos = balance_nanos - (SELECT sum(amount_nanos) FROM lines)
 WHERE a.organization_id = %(organization)s AND a.kind = 'customer'
"""


async def make_busy(
    db: Connection,
    organization_id: UUID,
    person_id: UUID,
    keys: Sequence[UUID],
    *,
    calls: int,
    days: int = 30,
    days_ago: int = 0,
) -> None:
    """Give the organization that many charged calls, evenly over the days before. It must have the credits for them."""
    values: dict[str, object] = {
        "organization": organization_id,
        "person": person_id,
        "keys": list(keys),
        "key_count": len(keys),
        "models": list(MODELS),
        "model_count": len(MODELS),
        "count": calls,
        "days": days,
        "ago": days_ago,
    }
    await db.execute("SET LOCAL statement_timeout = 0")
    await db.execute(_CALLS, values)
    await db.execute(_LINES, {"organization": organization_id})


PURCHASE_STATES = ("credited", "credited", "credited", "failed", "expired")
PURCHASE_NANOS = 25_000_000_000

_PURCHASE = """
INSERT INTO payment_purchases
       (id, organization_id, person_id, email, attempt, mode, state, amount_nanos, created_at, session_expires_at,
        payment_id, card_brand, card_last4, credited_at, kind, method_id, due_at)
VALUES (%(id)s, %(organization)s, %(person)s, 'busy@harbor.example', %(id)s::text, 'embedded', %(state)s, %(nanos)s,
        now(), now() + interval '1 hour', %(payment)s, 'visa', '4242', %(credited_at)s, %(kind)s, %(method)s, NULL)
"""
_CARD = """
INSERT INTO payment_cards (id, organization_id, mode, stripe_id, brand, last4, exp_month, exp_year, fingerprint,
                           is_default, email)
VALUES (%(id)s, %(organization)s, 'embedded', %(id)s::text, 'visa', %(last4)s, 12, 2034, %(id)s::text, %(default)s,
        'busy@harbor.example')
"""
_RULE = """
INSERT INTO topup_rules (id, state, threshold_nanos, amount_nanos, cap_nanos, daily_max, person_id, email)
VALUES (%(organization)s, 'armed', 5000000000, 25000000000, 500000000000, 3, %(person)s, 'busy@harbor.example')
"""
_ATTEMPT = """
INSERT INTO topup_attempts (id, organization_id, state, amount_nanos, balance_nanos, pending_nanos, card_name, ended_at)
VALUES (%(id)s, %(organization)s, 'credited', 25000000000, 4900000000, 0, 'Visa ending 4242', now())
"""


async def make_customer(
    db: Connection, organization_id: UUID, person_id: UUID, *, purchases: int, gifts: int, cards: int = 3
) -> None:
    """Give the organization a past: what it bought, by hand and by auto top-up, what it was given, and its cards."""
    who: dict[str, object] = {"organization": organization_id, "person": person_id}
    for number in range(purchases):
        state, by_rule = PURCHASE_STATES[number % len(PURCHASE_STATES)], number % 2 == 1
        is_paid, purchase_id = state == "credited", new_id()
        paid = {"payment": f"pi_{purchase_id}", "credited_at": datetime.now(UTC)} if is_paid else {}
        kind = {"kind": "top_up", "method": "pm_busy"} if by_rule else {"kind": "checkout", "method": None}
        row = {"payment": None, "credited_at": None} | who | paid | kind
        await db.execute(_PURCHASE, row | {"id": purchase_id, "state": state, "nanos": PURCHASE_NANOS})
        if is_paid:
            credit = Transfer(
                f"pi:{purchase_id}:credit",
                "stripe_clearing",
                organization_id,
                PURCHASE_NANOS,
                "purchase",
                purchase_id,
                "Visa ending 4242",
            )
            await post(db, [credit])
    for number in range(gifts):
        ends = datetime.now(UTC) + timedelta(days=30 + number)
        note = f"A thank-you for looking at number {number}"
        await grant(
            db, organization_id, Money.parse("2"), key=f"{organization_id}:{number}", note=note, expires_at=ends
        )
    for number in range(cards):
        await db.execute(_CARD, who | {"id": new_id(), "last4": f"424{number}", "default": number == 0})
    await db.execute(_RULE, who)
    for _ in range(10):
        await db.execute(_ATTEMPT, who | {"id": new_id()})
