"""Alice's auto top-up beside a card processor that really listens, and a worker that works when the test says so."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from payments.shop import ALICE, Pouch, Shop, shop_on
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.ledger.accounts import balance
from pouch.ledger.check import check
from pouch.ledger.errors import Refusal
from pouch.ledger.grants import grant
from pouch.ledger.operations import Capture, Hold, Refused
from pouch.ledger.posting import post, post_batch
from pouch.payments.types import Card
from pouch.topups import attempts, rules
from pouch.topups.types import Attempt, Rule, Wish

VISA, MASTERCARD = "4242424242424242", "5555555555554444"
ALWAYS_ASKS, FAILS_LATER = "4000002760003184", "4000000000000341"


def wish(
    threshold: str = "10", amount: str | None = "20", target: str | None = None, cap: str = "100", daily_max: int = 5
) -> Wish:
    return Wish(
        Money.parse(threshold),
        Money.parse(amount) if amount else None,
        Money.parse(target) if target else None,
        Money.parse(cap),
        daily_max,
    )


@dataclass
class Till:
    """A shop with a rule in it."""

    shop: Shop

    @property
    def pouch(self) -> Pouch:
        return self.shop.pouch

    @property
    def alice(self) -> UUID:
        """Her organization."""
        return self.shop.alice

    async def add_card(self, number: str = VISA) -> Card:
        """Alice saves a card, and comes back."""
        cards = self.pouch.sync.cards
        setup = await cards.start(organization_id=self.alice, person_id=self.alice, email=ALICE, attempt=str(uuid4()))
        assert setup.session_url is not None
        await self.shop.cards.pay(setup.session_url, number=number)
        await cards.visit(self.alice, setup.id)
        async with self.shop.database.transaction() as db:
            return next(card for card in await cards.all(db, self.alice) if card.last4 == number[-4:])

    async def give(self, usd: str) -> None:
        async with self.shop.database.transaction() as db:
            await grant(db, self.alice, Money.parse(usd), key=str(uuid4()), note="")

    async def switch_on(self, wanted: Wish | None = None, **more: Any) -> Rule:
        return await self.pouch.topups.switch.save(
            self.alice, wanted or wish(), person_id=self.alice, email=ALICE, **more
        )

    async def arm(self, has: str = "15", number: str = VISA, wanted: Wish | None = None) -> None:
        """A card, some credits, and the rule on."""
        await self.add_card(number)
        await self.give(has)
        await self.switch_on(wanted)

    async def spend(self, usd: str) -> None:
        """A call that cost so much."""
        async with self.shop.database.transaction() as db:
            hold = Hold(new_id(), self.alice, Money.parse(usd).nanos)
            await post(db, [hold, Capture(hold, Money.parse(usd).nanos)])

    async def ask_for(self, usd: str) -> Refusal:
        """A call that may cost so much and is refused. The refusal is committed, as the writer does it."""
        async with self.shop.database.transaction() as db:
            (answer,) = await post_batch(db, [Hold(new_id(), self.alice, Money.parse(usd).nanos)])
        assert isinstance(answer, Refused)
        return Refusal(answer)

    async def work(self, pouch: Pouch | None = None) -> None:
        """Everything that a worker would find due, until there is nothing more."""
        topups = (pouch or self.pouch).topups
        assert topups.charging is not None
        for _ in range(20):
            async with self.shop.database.transaction() as db:
                crossed = await topups.judge.due(db)
                due = await topups.charging.due(db)
            if not crossed and not due:
                return
            for organization_id in crossed:
                await topups.judge.look(organization_id)
            for attempt_id in due:
                await topups.charging.charge(attempt_id)
        raise AssertionError("a worker would never come to an end")

    async def time_passes(self, seconds: float) -> None:
        """Everything about top-ups is that much longer ago."""
        async with self.shop.database.transaction() as db:
            await db.execute(
                """
                UPDATE topup_attempts
                   SET created_at = created_at - make_interval(secs => %(s)s),
                       submitted_at = submitted_at - make_interval(secs => %(s)s),
                       confirm_until = confirm_until - make_interval(secs => %(s)s),
                       due_at = due_at - make_interval(secs => %(s)s), lease_until = NULL
                """,
                {"s": seconds},
            )
            await db.execute("UPDATE topup_rules SET wait_until = wait_until - make_interval(secs => %s)", (seconds,))
            await db.execute(
                "UPDATE payment_purchases SET created_at = created_at - make_interval(secs => %s)", (seconds,)
            )

    async def rule(self) -> Rule:
        async with self.shop.database.transaction() as db:
            rule = await rules.find_rule(db, self.alice)
        assert rule is not None
        return rule

    async def tries(self) -> list[Attempt]:
        """Her attempts, oldest first."""
        async with self.shop.database.transaction() as db:
            return (await attempts.newest(db, self.alice, 100))[::-1]

    async def states(self) -> list[str]:
        return [attempt.state for attempt in await self.tries()]

    async def charges(self) -> int:
        """How often money has really moved at the processor, on Alice's saved cards."""
        return await self.shop.count("cards_charges", "status = 'succeeded' AND metadata->>'attempt' IS NOT NULL")

    async def asked(self) -> int:
        """How often a bank was asked about a saved card."""
        return await self.shop.count("cards_charges", "metadata->>'attempt' IS NOT NULL")

    async def balance(self) -> Money:
        async with self.shop.database.transaction() as db:
            return (await balance(db, self.alice)).posted

    async def letters(self, kind: str | None = None) -> list[str]:
        """The kinds of the letters, oldest first."""
        async with self.shop.database.transaction() as db:
            rows = await db.execute("SELECT kind FROM mail_letters WHERE kind LIKE 'top_up%' ORDER BY created_at, id")
            kinds = [found for (found,) in await rows.fetchall()]
        return [each for each in kinds if kind in {None, each}]

    async def threshold(self) -> str | None:
        """How the ledger sees it."""
        async with self.shop.database.transaction() as db:
            rows = await db.execute("SELECT state FROM ledger_thresholds WHERE organization_id = %s", (self.alice,))
            row = await rows.fetchone()
        return row[0] if row else None

    async def crossings(self) -> tuple[int, int]:
        """Open and closed ones."""
        of_alice = f"organization_id = '{self.alice}'"
        return (
            await self.shop.count("ledger_crossings", f"{of_alice} AND closed_at IS NULL"),
            await self.shop.count("ledger_crossings", f"{of_alice} AND closed_at IS NOT NULL"),
        )

    async def audit(self) -> None:
        """The books are in order, and each charge of a saved card is one credit."""
        async with self.shop.database.transaction() as db:
            assert await check(db) == []
        credited = await self.shop.count(
            "ledger_transfers AS t JOIN payment_purchases AS p ON p.id = t.cause",
            f"t.kind = 'purchase' AND p.kind = 'top_up' AND p.organization_id = '{self.alice}'",
        )
        assert credited == await self.charges()


OpenTill = Callable[..., AbstractAsyncContextManager[Till]]


@asynccontextmanager
async def till_on(database_url: str, **more: Any) -> AsyncIterator[Till]:
    async with shop_on(database_url, **more) as shop:
        yield Till(shop)
