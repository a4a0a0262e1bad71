"""An organization with credits, and runs of it that are moved by hand: no worker, no sandbox, only the database."""

import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from pouch.agents import steps
from pouch.agents.beats import Beat, beat
from pouch.agents.claiming import Taken, take
from pouch.agents.start import Asked, Starter, start_run
from pouch.agents.store import find_run
from pouch.agents.types import Run
from pouch.agents.workers import show
from pouch.base.database import Database
from pouch.base.ids import new_id
from pouch.base.money import Money
from pouch.catalog.apply import apply
from pouch.catalog.types import Model, Price, Upstream
from pouch.identity.people import add_person
from pouch.identity.types import Person
from pouch.jobs.claims import Claim
from pouch.ledger.accounts import Balance, balance
from pouch.ledger.check import check
from pouch.ledger.grants import grant
from pouch.ledger.operations import Refused
from pouch.settings import File

SAMPLE = "https://git.harbor.example/sample.git"
PRICE = Money.parse("5")


@dataclass
class House:
    """Alice's organization. `pass_time` moves a run's clock by moving what was written down into the past."""

    database: Database
    alice: Person
    model: Model
    _keys: Any = field(default_factory=count)

    async def grant(self, usd: str) -> None:
        async with self.database.transaction() as db:
            await grant(db, self.alice.organization_id, Money.parse(usd), key=f"more {next(self._keys)}", note="")

    async def start(
        self,
        *,
        cap: str = "5",
        minutes: int = 60,
        key: str | None = None,
        task: str = "Fix it",
        repository: str = SAMPLE,
    ) -> Run:
        asked = Asked("coder", task, repository, "main", Money.parse(cap), minutes * 60)
        starter = Starter(self.alice.organization_id, self.alice.id, "api", key or f"key {next(self._keys)}")
        async with self.database.transaction() as db:
            run, _ = await start_run(db, starter, asked, self.model)
        return run

    async def take(self, run: Run, *, worker: str = "worker", running_max: int = 2, disk: str = "") -> Taken | None:
        async with self.database.transaction() as db:
            return await take(db, run.id, worker, running_max=running_max, disk=disk)

    async def running(self, **asked: Any) -> tuple[Run, Claim]:
        """A run that has just begun to run."""
        taken = await self.take(await self.start(**asked))
        assert taken is not None
        async with self.database.transaction() as db:
            run = await steps.begin_to_run(db, taken.claim)
        assert not isinstance(run, Refused)
        return run, taken.claim

    async def beat(self, claim: Claim) -> Beat:
        async with self.database.transaction() as db:
            return await beat(db, claim)

    async def pass_time(self, run: Run, seconds: float) -> None:
        """Let so much time go by for a run; its worker lives and beats meanwhile, so the lease moves along."""
        async with self.database.transaction() as db:
            await db.execute(
                "UPDATE agent_runs SET seen_at = seen_at - %(d)s, state_since = state_since - %(d)s WHERE id = %(id)s",
                {"d": timedelta(seconds=seconds), "id": run.id},
            )

    async def lose_worker(self, run: Run) -> None:
        """The worker is silent from now on, until its lease is over."""
        async with self.database.transaction() as db:
            await db.execute(
                "UPDATE agent_runs SET lease_until = clock_timestamp() - interval '1 second' WHERE id = %s", (run.id,)
            )

    async def show_worker(self) -> None:
        async with self.database.transaction() as db:
            await show(db, new_id(), "test", {}, 4)

    async def run(self, run: Run) -> Run:
        async with self.database.transaction() as db:
            return await find_run(db, self.alice.organization_id, run.id)

    async def funds(self) -> Balance:
        async with self.database.transaction() as db:
            return await balance(db, self.alice.organization_id)

    async def charged(self, run: Run) -> int:
        """What the ledger took for a run's time."""
        async with self.database.transaction() as db:
            rows = await db.execute(
                "SELECT coalesce(sum(amount_nanos), 0)::bigint FROM ledger_transfers "
                "WHERE kind = 'agents' AND cause = %s",
                (run.id,),
            )
            ((amount,),) = await rows.fetchall()
            assert await check(db) == []
        return int(amount)


def model_of(price: Price | None) -> Model:
    upstream = Upstream("up", "openai", "http://127.0.0.1:9")
    return Model("up/paid", "Paid", "", "up", 100_000, 4_000, (), upstream, "up", price, datetime.now(UTC))


async def opened(database: Database, *, credits_usd: str = "10", price: str = "5") -> House:
    file = File.model_validate(tomllib.loads(f'[agents]\nprice_usd_per_hour = "{price}"'))
    async with database.transaction() as db:
        await apply(db, file, source="test", confirm=True)
        alice = await add_person(db, "alice@example.com", None, verified=True)
        if Money.parse(credits_usd):
            await grant(db, alice.organization_id, Money.parse(credits_usd), key="start", note="")
    return House(database, alice, model_of(None))


def whose(run: Run) -> UUID:
    return run.organization_id
