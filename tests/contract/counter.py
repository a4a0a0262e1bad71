"""Alice, who buys at an emulator: payments and top-ups as the application puts them together, and their webhook."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from contract.bridge import SECRET_KEY
from contract.programs import WEBHOOK_SECRET
from payments.shop import ALICE, Pouch
from pouch.base.database import Database
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.ledger.accounts import balance, open_account
from pouch.ledger.check import check
from pouch.payments import purchases
from pouch.payments.types import Card, Purchase
from pouch.topups import attempts, rules
from pouch.topups.types import Attempt, Rule, Wish
from support.serving import serving

PATIENCE_S = 30
DOLLARS = Money.parse


@dataclass
class Counter:
    """Alice's organization, and Pouch with the emulator's address as `stripe_api_base`."""

    pouch: Pouch
    webhook_url: str = ""
    alice: UUID = field(default_factory=new_id)

    @property
    def database(self) -> Database:
        return self.pouch.database

    async def start(self, usd: str = "10.00") -> Purchase:
        """Alice presses Buy."""
        return await self.pouch.checkout.start(
            organization_id=self.alice, person_id=self.alice, email=ALICE, amount=DOLLARS(usd), attempt=str(uuid4())
        )

    async def arm(self) -> Rule:
        """The auto top-up: $20 when less than $10 is left, which is so."""
        wish = Wish(DOLLARS("10"), DOLLARS("20"), None, DOLLARS("100"), 5)
        return await self.pouch.topups.switch.save(self.alice, wish, person_id=self.alice, email=ALICE)

    async def cards(self) -> list[Card]:
        async with self.database.transaction() as db:
            return await self.pouch.sync.cards.all(db, self.alice)

    async def work(self) -> None:
        """Everything that a worker would find due."""
        topups = self.pouch.topups
        assert topups.charging is not None
        for _ in range(3):
            async with self.database.transaction() as db:
                crossed, due = await topups.judge.due(db), await topups.charging.due(db)
            for organization_id in crossed:
                await topups.judge.look(organization_id)
            for attempt_id in due:
                await topups.charging.charge(attempt_id)

    async def attempt(self) -> Attempt:
        """Her only attempt."""
        async with self.database.transaction() as db:
            (found,) = await attempts.newest(db, self.alice, 100)
        return found

    async def rule(self) -> Rule:
        async with self.database.transaction() as db:
            rule = await rules.find_rule(db, self.alice)
        assert rule is not None
        return rule

    async def purchase(self, purchase_id: UUID) -> Purchase:
        async with self.database.transaction() as db:
            return await purchases.get_purchase(db, purchase_id)

    async def has(self) -> Money:
        async with self.database.transaction() as db:
            assert await check(db) == []
            return (await balance(db, self.alice)).available

    async def letters(self) -> list[str]:
        async with self.database.transaction() as db:
            rows = await db.execute("SELECT kind FROM mail_letters ORDER BY created_at, id")
            return [kind for (kind,) in await rows.fetchall()]

    async def event(self, kind: str) -> str:
        """Wait until an event of this kind has been stored and dealt with: the object it is about."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                async with self.database.transaction() as db:
                    rows = await db.execute(
                        "SELECT object_id FROM payment_events WHERE type = %s AND state = 'done'", (kind,)
                    )
                    if row := await rows.fetchone():
                        return str(row[0])
                await asyncio.sleep(0.05)


@asynccontextmanager
async def counter_at(api_base: str, database_url: str) -> AsyncIterator[Counter]:
    """Open it, with that address instead of Stripe's."""
    async with Database(database_url, size_max=8) as database:
        pouch = Pouch(database, api_base=api_base, secret_key=SECRET_KEY, kind="stripe", webhook_secret=WEBHOOK_SECRET)
        counter = Counter(pouch)
        async with database.transaction() as db:
            await open_account(db, counter.alice)
        async with serving(pouch.app) as url:
            counter.webhook_url = f"{url}/webhooks/stripe"
            try:
                yield counter
            finally:
                await pouch.processor.close()
