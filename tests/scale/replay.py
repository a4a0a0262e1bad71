"""What an account looked like after each commit, from its transfers and holds alone: was it ever below what it held?

Holds and transfers of one account carry the database's clock, read under the account's lock; so all that has one time
is one commit, and the times are the order of commits. Limits are counted from the holds they were placed under, and
their caps are taken to be what they are now. A hold that was charged after its lease was lost held nothing any more
from that loss on, but its row only tells of the charge; it is counted until the loss.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.money import Money

_ACCOUNT = """
SELECT id, balance_nanos, held_nanos FROM ledger_accounts WHERE organization_id = %s AND kind = 'customer'
"""
_TRANSFERS = """
SELECT at, CASE WHEN credit_account_id = %(id)s THEN amount_nanos ELSE -amount_nanos END, balance_after_nanos
  FROM ledger_transfers WHERE %(id)s IN (debit_account_id, credit_account_id) ORDER BY seq
"""
_HOLDS = """
SELECT placed_at, closed_at,
       CASE WHEN state = 'captured' THEN greatest(placed_at, least(closed_at, l.lost_at)) ELSE closed_at END,
       amount_nanos, coalesce(captured_nanos, 0), limit_ids
  FROM ledger_holds AS h LEFT JOIN ledger_leases AS l ON l.id = h.lease_id WHERE account_id = %s
"""
_LIMITS = "SELECT id, subject, cap_nanos, spent_nanos FROM ledger_limits WHERE period = 'ever'"


@dataclass(slots=True)
class Change:
    """All that one commit changed on one account."""

    posted: int = 0
    held: int = 0
    limits_spent: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    limits_held: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(frozen=True, slots=True)
class Replayed:
    """Sentences about what was ever wrong; how many commits there were, and the most that was held at once."""

    wrong: list[str]
    commits: int
    held_most: Money


async def replay(db: Connection, organization_id: UUID) -> Replayed:
    """Go through an account's life, commit by commit, and compare its end with what its row says."""
    rows = await (await db.execute(_ACCOUNT, (organization_id,))).fetchall()
    ((account_id, balance, held_now),) = rows
    changes: defaultdict[datetime, Change] = defaultdict(Change)
    wrong = await _read_transfers(db, account_id, changes)
    await _read_holds(db, account_id, changes)
    limits = {id_: limit for id_, *limit in await (await db.execute(_LIMITS)).fetchall()}

    posted = held = held_most = 0
    spent_of: defaultdict[int, int] = defaultdict(int)
    held_of: defaultdict[int, int] = defaultdict(int)
    for at, change in sorted(changes.items()):
        posted += change.posted
        held += change.held
        held_most = max(held_most, held)
        if not 0 <= held <= posted:
            wrong.append(f"at {at}: {Money(posted)} were there and {Money(held)} of it held")
        for id_ in change.limits_spent.keys() | change.limits_held.keys():
            spent_of[id_] += change.limits_spent[id_]
            held_of[id_] += change.limits_held[id_]
            subject, cap, _ = limits[id_]
            if spent_of[id_] + held_of[id_] > cap:
                total = Money(spent_of[id_] + held_of[id_])
                wrong.append(f"at {at}: the limit of {subject} is {Money(cap)}, and {total} were spent or held")
    if (posted, held) != (balance, held_now):
        wrong.append(
            f"the account says {Money(balance)} and {Money(held_now)} held, not {Money(posted)}, {Money(held)}"
        )
    for id_, spent in spent_of.items():
        subject, _, stated = limits[id_]
        if spent != stated:
            wrong.append(f"the limit of {subject} says {Money(stated)} spent, not {Money(spent)}")
    return Replayed(wrong, len(changes), Money(held_most))


async def _read_transfers(db: Connection, account_id: int, changes: dict[datetime, Change]) -> list[str]:
    wrong = []
    posted, last = 0, None
    for at, amount, stated in await (await db.execute(_TRANSFERS, {"id": account_id})).fetchall():
        posted += amount
        changes[at].posted += amount
        if posted < 0 or posted != stated:
            wrong.append(f"a transfer of {at} left {Money(posted)} and states {Money(stated)}")
        if last is not None and at < last:
            wrong.append(f"a transfer of {at} comes after one of {last}")
        last = at
    return wrong


async def _read_holds(db: Connection, account_id: int, changes: dict[datetime, Change]) -> None:
    for placed_at, closed_at, ended_at, amount, captured, limit_ids in await (
        await db.execute(_HOLDS, (account_id,))
    ).fetchall():
        _hold(changes[placed_at], amount, limit_ids)
        if closed_at is None:
            continue
        _hold(changes[ended_at], -amount, limit_ids)
        for id_ in limit_ids:
            changes[closed_at].limits_spent[id_] += captured


def _hold(change: Change, amount: int, limit_ids: Iterable[int]) -> None:
    change.held += amount
    for id_ in limit_ids:
        change.limits_held[id_] += amount
