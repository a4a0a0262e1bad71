"""The long form: every process dies, in random order, under calls and purchases."""

import asyncio
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kills.books import add_customers, connected, holds_before, judge, say
from kills.buyers import buying, is_waiting, judge_purchases, pauses_are_over, receipts_in
from kills.storm import Storm, seed_of_this_run
from kills.victims import order_of
from support.load import calling
from support.pouch import POLL_S, RunningPouch

pytestmark = [pytest.mark.anyio, pytest.mark.long, pytest.mark.timeout(1500)]

CLIENTS = 30
CALLERS = {"alice@example.com": "5", "bob@example.com": "5", "carol@example.com": "0.02"}
BUYERS = ["dora@example.com", "emil@example.com", "frida@example.com"]
TOML = "[embedded]\ndelay_ms = 10\n"
SETTLED_S = 180
"""A letter or event whose worker was killed is seen to again when its lease of a minute is over."""


async def test_twenty_four_kills_under_calls_and_purchases(tmp_path: Path) -> None:
    """Every answer is charged once; every paid purchase is credited once and told at least once, and shown so."""
    seed = seed_of_this_run()
    rng = random.Random(seed)
    order = order_of(rng, {"serve": 5, "work": 5, "backend": 4, "postgres": 5, "up": 3, "everything": 2})
    with RunningPouch(toml=TOML) as pouch:
        url = pouch.ends.database_url
        secrets = await add_customers(url, CALLERS)
        async with (
            calling(pouch.url, secrets, tmp_path / "answers", clients=CLIENTS, seed=seed) as load,
            buying(pouch.url, url, BUYERS, seed=seed) as buyers,
        ):
            storm = Storm(pouch, load, rng)
            for victim in order:
                await storm.kill(victim)
            await storm.dead_holds_are_gone()
            await storm.is_back()
        answers = load.log.read()
        say(f"{len(answers)} answers on disk; calls: {dict(load.outcomes)}")
        # The socket of the database lies in a new folder after each start.
        async with connected(pouch.ends.database_url) as db:
            await db.set_autocommit(True)
            await pauses_are_over(db)
            async with asyncio.timeout(SETTLED_S):
                while await is_waiting(db):
                    await asyncio.sleep(POLL_S)
        say(f"mail and payments at rest {storm.age_s():.1f} s after the last kill")
        async with connected(pouch.ends.database_url) as db:
            verdict = await judge(db, answers)
            problems, credited = await judge_purchases(db, buyers)
            assert await holds_before(db, datetime.now(UTC)) == 0
        say(f"{len(verdict.unanswered)} charged and unanswered: {' '.join(verdict.unanswered)}")
        say(f"{sum(len(buyer.bought) for buyer in buyers)} purchases, {len(credited)} paid")

        assert load.problems == []
        assert verdict.lost == []
        assert verdict.wrong == []
        assert verdict.differences == []
        assert len(verdict.unanswered) <= sum(order.count(each) for each in ("serve", "everything")) * CLIENTS
        assert problems == []
        for email in BUYERS:
            mails = pouch.mails(email)
            told = receipts_in(mails)
            mine = {id_ for id_, owner in credited.items() if owner == email}
            assert told == mine
            say(f"{email}: {len(mine)} purchases, {len(mails)} letters")
        await storm.dead_holds_were_gone()
        pouch.does("ledger", "check")
