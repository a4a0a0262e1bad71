"""Processes die at random moments under load; every answer that a client has is charged once, exactly."""

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kills.books import add_customers, connected, give, holds_before, judge, say
from kills.storm import Storm, seed_of_this_run
from kills.victims import order_of
from support.load import calling
from support.pouch import RunningPouch

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

CLIENTS = 40
CREDITS = {"alice@example.com": "5", "bob@example.com": "5", "carol@example.com": "0.0004"}
"""Carol's run dry; after each kill she gets as much again."""
TOML = "[embedded]\ndelay_ms = 10\n"


async def test_ten_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """Forty clients of three accounts, streams cut in the middle, and each time `serve` or the database dies."""
    seed = seed_of_this_run()
    rng = random.Random(seed)
    order = order_of(rng, {"serve": 4, "postgres": 3, "backend": 3})
    with RunningPouch(toml=TOML) as pouch:
        url = pouch.ends.database_url
        secrets = await add_customers(url, CREDITS)
        async with calling(pouch.url, secrets, tmp_path / "answers", clients=CLIENTS, seed=seed) as load:
            storm = Storm(pouch, load, rng)
            for number, victim in enumerate(order):
                await storm.kill(victim)
                async with connected(url) as db:
                    await give(db, "carol@example.com", CREDITS["carol@example.com"], key=f"kill {number}")
            await storm.dead_holds_are_gone()
            await storm.is_back()
        answers = load.log.read()
        say(f"{len(answers)} answers on disk; calls: {dict(load.outcomes)}")
        async with connected(url) as db:
            verdict = await judge(db, answers)
            assert await holds_before(db, datetime.now(UTC)) == 0
        say(f"{len(verdict.unanswered)} charged and unanswered: {' '.join(verdict.unanswered)}")

        assert load.problems == []
        assert verdict.lost == []
        assert verdict.wrong == []
        assert verdict.differences == []
        assert len(verdict.unanswered) <= order.count("serve") * CLIENTS
        assert load.outcomes["402"] > 0
        assert set(load.outcomes) <= {"answered", "402", "503", "cut", "unreachable"}
        await storm.dead_holds_were_gone()
        pouch.does("ledger", "check")


async def test_without_durable_commits_the_loss_is_noticed(tmp_path: Path) -> None:
    """The control: a Postgres that answers before it has written must make the test above fail."""
    rng = random.Random(1)
    with RunningPouch(toml=TOML, environment={"POUCH_TEST_SYNCHRONOUS_COMMIT": "off"}) as pouch:
        url = pouch.ends.database_url
        secrets = await add_customers(url, CREDITS)
        async with calling(pouch.url, secrets, tmp_path / "answers", clients=CLIENTS, seed=1) as load:
            storm = Storm(pouch, load, rng)
            lost: list[str] = []
            for _ in range(5):  # one is enough, if it does not hit a moment without an answer
                await storm.is_back()
                await storm.kill("postgres")
                async with connected(url) as db:
                    lost = (await judge(db, load.log.read())).lost
                if lost:
                    break
        say(f"{len(lost)} of {load.log.size} answers are lost")
        assert lost != []
