"""Whatever happens in whatever order: charges and credits match, the caps hold, and there is never a second flight."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payments.far_end import FarEnd
from payments.shop import Pouch
from pouch.base.money import Money
from pouch.embedded.cards.delivery import sign
from pouch.ledger.check import check
from pouch.payments import suspensions
from pouch.topups.errors import CardRefused, NoCard, Suspended
from support.cards import WEBHOOK_SECRET
from topups.till import MASTERCARD, VISA, Till, till_on, wish

STEPS = (
    "spend",
    "spend",
    "refused",
    "work",
    "work",
    "judge",
    "lose_an_answer",
    "webhooks_shuffled",
    "webhooks_twice",
    "minute",
    "hours",
    "decline_soft",
    "decline_hard",
    "decline_confirm",
    "off",
    "on",
    "other_card",
    "first_card",
    "suspend",
    "lift",
    "visit",
)
CAP = Money.parse("60")


class Tale:
    """One organization and what happens to it."""

    def __init__(self, till: Till, seed: int) -> None:
        self.till = till
        self.rng = random.Random(seed)

    async def begin(self) -> None:
        await self.till.shop.next_alice()
        self.till.shop.cards.faults.declines = []
        await self.till.arm(wanted=wish(cap="60", daily_max=5))

    async def step(self, name: str) -> None:
        act: Callable[[], Awaitable[None]] = getattr(self, name)
        await act()
        await self.invariants()

    async def spend(self) -> None:
        has = await self.till.balance()
        if has >= Money.parse("3"):
            await self.till.spend("3")

    async def refused(self) -> None:
        await self.till.ask_for("500")

    async def work(self) -> None:
        await self.till.work()

    async def judge(self) -> None:
        await self.till.pouch.topups.judge.look(self.till.alice)

    async def lose_an_answer(self) -> None:
        async with FarEnd.before(self.till.shop.cards.api_base) as far_end:
            far_end.answers = self.rng.randint(0, 3)
            pouch = Pouch(self.till.shop.database, api_base=far_end.url, timeout_s=2)
            await self.till.work(pouch)
            await pouch.processor.close()

    async def webhooks_shuffled(self) -> None:
        bodies = await self.till.shop.events()
        self.rng.shuffle(bodies)
        for body in bodies[:4]:
            assert await self.till.pouch.post(body, sign(body, WEBHOOK_SECRET)) == 200

    async def webhooks_twice(self) -> None:
        bodies = (await self.till.shop.events())[-2:]
        for body in bodies * 2:
            assert await self.till.pouch.post(body, sign(body, WEBHOOK_SECRET)) == 200

    async def minute(self) -> None:
        await self.till.time_passes(61)

    async def hours(self) -> None:
        await self.till.time_passes(self.rng.choice([3700, 7 * 3600]))

    async def decline_soft(self) -> None:
        self.till.shop.cards.faults.declines = ["insufficient_funds"]

    async def decline_hard(self) -> None:
        self.till.shop.cards.faults.declines = ["stolen_card"]

    async def decline_confirm(self) -> None:
        self.till.shop.cards.faults.declines = ["authentication_required"]

    async def off(self) -> None:
        await self.till.pouch.topups.switch.switch_off(self.till.alice)

    async def on(self) -> None:
        try:
            await self.till.switch_on(wish(cap="60", daily_max=5))
        except (CardRefused, NoCard, Suspended):
            return

    async def other_card(self) -> None:
        await self.till.add_card(MASTERCARD)

    async def first_card(self) -> None:
        await self.till.add_card(VISA)

    async def suspend(self) -> None:
        async with self.till.shop.database.transaction() as db:
            await suspensions.suspend(db, self.till.alice, cause="test", reason="A test.")

    async def lift(self) -> None:
        async with self.till.shop.database.transaction() as db:
            await db.execute("DELETE FROM payment_suspensions WHERE organization_id = %s", (self.till.alice,))

    async def visit(self) -> None:
        for attempt in (await self.till.tries())[-1:]:
            await self.till.pouch.sync.visit(self.till.alice, attempt.id)

    async def invariants(self) -> None:
        """At every moment: at most one flight, no more than the cap, and never more credits than charges."""
        tries = await self.till.tries()
        assert sum(attempt.is_under_way for attempt in tries) <= 1
        counted = {"created", "submitted", "unknown", "credited", "recovered"}
        used = sum(attempt.amount.nanos for attempt in tries if attempt.state in counted)
        assert used <= CAP.nanos
        assert await self.charged() <= CAP.nanos
        assert await self.credited() <= await self.charged()

    async def end(self) -> None:
        """Once everything is settled, each charge is one credit, and the books are in order."""
        self.till.shop.cards.faults.declines = []
        await self.till.time_passes(90)
        await self.till.work()
        await self.invariants()
        assert await self.credited() == await self.charged()
        states = await self.till.states()
        assert not {"created", "submitted", "unknown"} & set(states)
        async with self.till.shop.database.transaction() as db:
            assert await check(db) == []

    async def charged(self) -> int:
        """What the bank has taken for this organization's top-ups, in nano-dollars."""
        return await self._sum(
            """
            SELECT coalesce(sum(c.amount_cents), 0) * 10000000 FROM cards_charges AS c
              JOIN payment_customers AS k ON k.stripe_id = c.customer_id
             WHERE c.status = 'succeeded' AND k.organization_id = %s AND c.metadata->>'attempt' IS NOT NULL
            """
        )

    async def credited(self) -> int:
        return await self._sum(
            """
            SELECT coalesce(sum(t.amount_nanos), 0) FROM ledger_transfers AS t
              JOIN payment_purchases AS p ON p.id = t.cause
             WHERE t.kind = 'purchase' AND p.kind = 'top_up' AND p.organization_id = %s
            """
        )

    async def _sum(self, query: str) -> int:
        async with self.till.shop.database.transaction() as db:
            row = await (await db.execute(query.encode(), (self.till.alice,))).fetchone()
        assert row is not None
        return int(row[0])


async def tell(till: Till, steps: list[str], seed: int) -> None:
    tale = Tale(till, seed)
    await tale.begin()
    for name in steps:
        await tale.step(name)
    await tale.end()


@pytest.mark.timeout(400)
def test_any_order_of_events_charges_what_it_credits(database_url: str) -> None:
    with asyncio.Runner() as runner:
        opened = till_on(database_url)
        till = runner.run(opened.__aenter__())

        @settings(max_examples=25, derandomize=True)
        @given(st.lists(st.sampled_from(STEPS), min_size=6, max_size=24), st.integers(0, 10_000))
        def story(steps: list[str], seed: int) -> None:
            runner.run(tell(till, steps, seed))

        try:
            story()
        finally:
            runner.run(opened.__aexit__(None, None, None))
