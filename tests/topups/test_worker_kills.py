"""A real `pouch work` is killed (SIGKILL) at each step of a top-up in turn: one charge, one credit, each time.

Nothing in the source stops for it. The worker is caught where it waits for somebody else: for a row that the test has
locked, or for the card processor, before which a network holds the request or the answer.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from payments.far_end import FarEnd
from payments.shop import Pouch
from support.cards import MOUNTED_AT, SECRET_KEY, WEBHOOK_SECRET
from support.pouch import POLL_S, command
from topups.test_crash import assert_topped_up_once
from topups.till import Till, till_on

pytestmark = pytest.mark.anyio

Step = Literal["attempt_written", "request_sent", "charged_no_answer", "answered", "posting", "posted"]
STEPS: tuple[Step, ...] = ("attempt_written", "request_sent", "charged_no_answer", "answered", "posting", "posted")
TIMEOUT_S = 90
LOCKS: dict[Step, str] = {
    "attempt_written": "SELECT FROM payment_purchases WHERE organization_id = %s FOR UPDATE",
    "posting": "SELECT FROM ledger_accounts WHERE organization_id = %s AND kind = 'customer' FOR UPDATE",
}
HELD: dict[Step, tuple[str, bool]] = {
    "request_sent": (f"POST {MOUNTED_AT}/v1/payment_intents HTTP", False),
    "charged_no_answer": (f"POST {MOUNTED_AT}/v1/payment_intents HTTP", True),
    "answered": (f"GET {MOUNTED_AT}/v1/payment_intents/pi_", True),
}
FOUND: dict[Step, tuple[str, int]] = {
    "attempt_written": ("created", 0),
    "request_sent": ("submitted", 0),
    "charged_no_answer": ("submitted", 1),
    "answered": ("submitted", 1),
    "posting": ("submitted", 1),
    "posted": ("credited", 1),
}
"""How the attempt stands when the worker is dead, and how often the card was charged."""
_CREDITED = "SELECT count(*) FROM topup_attempts WHERE organization_id = %s AND state = 'credited'"
_WAITING = """
SELECT count(*) FROM pg_stat_activity
 WHERE application_name = 'pouch work' AND datname = current_database() AND wait_event_type = 'Lock'
   AND %s::text IS NOT NULL
"""


@dataclass
class Works:
    """A till whose worker is a process of its own, and the network between it and the card processor."""

    till: Till
    far_end: FarEnd
    folder: Path
    database_url: str

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """`pouch work`, until the end of the block; then it is killed."""
        config = self.folder / "pouch.toml"
        config.write_text(f'[payments]\nprocessor = "stripe"\nstripe_api_base = "{self.far_end.url}"\n')
        environment = {
            "POUCH_DATABASE_URL": self.database_url,
            "POUCH_CONFIG": str(config),
            "POUCH_DATA_DIR": str(self.folder),
            "POUCH_SECRET_KEY": "a secret of the tests",
            "POUCH_STRIPE_SECRET_KEY": SECRET_KEY,
            "POUCH_STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }
        with (self.folder / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command("work", "--lane", "short"),
                env=environment,
                cwd=self.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield
            assert process.returncode is None, (self.folder / "log").read_text()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def becomes_true(self, count: str) -> None:
        """Wait until a count about this organization is above zero."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                async with self.till.shop.database.transaction() as db:
                    row = await (await db.execute(count.encode(), (self.till.alice,))).fetchone()
                if row is not None and row[0]:
                    return
                await asyncio.sleep(POLL_S)

    async def is_held(self) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await self.far_end.held.wait()

    @asynccontextmanager
    async def trap(self, step: Step) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Where a worker stops at this step, until the end of the block; gives how to wait until it is there."""
        if step in LOCKS:
            async with self.till.shop.database.transaction() as db:
                await db.execute(LOCKS[step].encode(), (self.till.alice,))
                yield lambda: self.becomes_true(_WAITING)
        elif step in HELD:
            beginning, is_passed_on = HELD[step]
            self.far_end.hold(beginning, is_passed_on=is_passed_on)
            yield self.is_held
            self.far_end.release()
        else:
            yield lambda: self.becomes_true(_CREDITED)

    async def cross(self) -> None:
        """Another organization whose balance has fallen below its threshold, and whose attempt is written."""
        await self.till.shop.change("DELETE FROM cards_charges")
        await self.till.shop.next_alice()
        await self.till.arm()
        await self.till.spend("6")
        await self.till.pouch.topups.judge.look(self.till.alice)
        assert await self.till.states() == ["created"]


@asynccontextmanager
async def works(database_url: str, folder: Path) -> AsyncIterator[Works]:
    async with till_on(database_url) as till, FarEnd.before(till.shop.cards.api_base) as far_end:
        await till.pouch.processor.close()
        till.shop.pouch = Pouch(till.shop.database, api_base=till.shop.cards.api_base, kind="stripe")
        yield Works(till, far_end, folder, database_url)


async def kill_at_each(database_url: str, folder: Path, steps: Sequence[Step]) -> None:
    async with works(database_url, folder) as at_work:
        till = at_work.till
        for step in steps:
            await at_work.cross()
            async with at_work.trap(step) as is_caught, at_work.worker():
                await is_caught()
            (state,) = await till.states()
            assert (state, await till.charges()) == FOUND[step], step
            # The next worker may have the attempt as soon as the lease of the dead one is over.
            await till.time_passes(90)
            async with at_work.worker():
                await at_work.becomes_true(_CREDITED)
            for _ in range(2):
                await till.shop.deliver()
            await assert_topped_up_once(till)


@pytest.mark.timeout(300)
async def test_a_worker_killed_between_the_charge_and_the_credit_charges_and_credits_once(
    database_url: str, tmp_path: Path
) -> None:
    """The two steps that matter most: charged and not answered, answered and not posted. All six: `bin/test --long`."""
    await kill_at_each(database_url, tmp_path, ["charged_no_answer", "posting"])


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_a_worker_killed_at_each_step_of_a_top_up_charges_and_credits_once(
    database_url: str, tmp_path: Path
) -> None:
    await kill_at_each(database_url, tmp_path, STEPS)
