"""A process that falls silent loses what it holds, and cannot spend it when it wakes up."""

import asyncio

import pytest

from pouch.base.money import ZERO, Money
from scale import far_end
from scale.conftest import SecondServe
from scale.crowd import PATIENCE_S, Crowd, outcomes
from scale.far_end import Gate
from scale.replay import replay
from support.people import Customer, add_customer, committing, funds_of, until_nothing_is_held
from support.pouch import RunningPouch
from support.upstream import FakeUpstream

pytestmark = pytest.mark.anyio

HALF = 10
_AGE_LEASE = """
UPDATE ledger_leases SET beat_at = beat_at - interval '31 s'
 WHERE id = (SELECT lease_id FROM ledger_holds WHERE state = 'open' AND account_id = (
             SELECT id FROM ledger_accounts WHERE organization_id = %s AND kind = 'customer') LIMIT 1)
"""
_CHARGED = """
SELECT outcome, count(*), sum(charged_nanos)::bigint, sum(cost_nanos)::bigint FROM usage_calls
 WHERE organization_id = %s GROUP BY 1
"""


async def test_a_frozen_process_loses_its_holds_and_spends_nothing_when_it_wakes(
    pouch: RunningPouch, second: SecondServe, upstream: FakeUpstream, people: Crowd
) -> None:
    """Twenty calls are under way in it, half of them in the middle of a stream; the credits are spent elsewhere."""
    url, cost = pouch.ends.database_url, far_end.cost_nanos()
    left_over = cost // 5
    credits_ = Money(2 * HALF * cost + left_over)
    alice = await add_customer(url, "alice-frozen@example.com", credits_)
    gate = upstream.script = Gate()
    calls = [far_end.call(second.url, alice.secret, is_stream=number < HALF) for number in range(2 * HALF)]
    under_way = asyncio.create_task(people.at_once(calls))
    await gate.grows_to(2 * HALF)

    second.freeze()
    try:
        async with committing(url) as db:
            # Thirty seconds and one more have passed since it was last heard of.
            await db.execute(_AGE_LEASE, (alice.organization_id,))
        await until_nothing_is_held(url, alice)
        assert (await funds_of(url, alice)).posted == credits_
        upstream.script = far_end.answer
        elsewhere = await people.at_once([far_end.call(pouch.url, alice.secret) for _ in range(30)])
    finally:
        second.thaw()
    assert outcomes(elsewhere) == {"answered": 2 * HALF, "402 credits": 10}

    # Who was told nothing yet is told so. The streams break off; what they had said is charged to what is left.
    async with asyncio.timeout(PATIENCE_S):
        assert outcomes(await under_way) == {"503 busy": HALF, "cut": HALF}
    gate.open()
    assert (await funds_of(url, alice)).posted == ZERO
    async with committing(url) as db:
        charges = {row[0]: row[1:] for row in await (await db.execute(_CHARGED, (alice.organization_id,))).fetchall()}
        count, charged, cut_cost = charges["cut"]
        assert (count, charged) == (HALF, left_over)
        assert cut_cost > left_over
        assert (await replay(db, alice.organization_id)).wrong == []
    await is_back(second, people, await add_customer(url, "alice-again@example.com", Money(cost)))


async def is_back(second: SecondServe, people: Crowd, customer: Customer) -> None:
    """It has taken a new lease, on which it sells again."""
    reply = await people.ask(far_end.call(second.url, customer.secret))
    assert reply.outcome == "answered", reply
