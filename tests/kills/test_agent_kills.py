"""Worker, web and Postgres die by SIGKILL while agents run: no second is billed twice or unseen."""

import asyncio
import random
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from kills.books import connected
from kills.storm import seed_of_this_run
from kills.victims import kill, order_of
from pouch.catalog.agent_price import time_cost_nanos
from pouch.ledger.check import check_now
from support.pouch import POLL_S, RunningPouch
from support.sandboxes import GREETING, needs_bubblewrap, repository

pytestmark = [needs_bubblewrap, pytest.mark.anyio, pytest.mark.timeout(400)]

HOUR = 5_000_000_000
OVER = {"succeeded", "failed", "canceled", "timed_out", "interrupted", "paused_no_credit"}
PAST_LEASE_S = 150
"""A worker's lease is thirty seconds; the rest is for a busy machine."""


async def test_kills_bill_no_second_twice_and_none_that_nobody_saw(tmp_path: Path) -> None:
    """Two slow runs of Alice; each part of Pouch is killed once, in random order."""
    seed = seed_of_this_run()
    rng = random.Random(seed)
    tmp_path.chmod(0o755)
    toml = f'[agents]\nlocal_roots = ["{tmp_path}"]\n[agents.limits]\ndisk_mib = 128\n[embedded]\ndelay_ms = 400\n'
    with RunningPouch(toml=toml) as pouch:
        pouch.does("user", "add", "alice@example.com", "--password-stdin", "--admin", input="correct horse battery")
        pouch.does("grant", "alice@example.com", "5", "--key", "first", "--note", "To begin with")
        scopes = ("--scope", "agents", "--scope", "inference")
        key = pouch.does("key", "add", "alice@example.com", "agents", *scopes).split()[-1]
        source = repository(tmp_path / "greeting", GREETING)
        ids = [await started(pouch, key, str(source), str(number)) for number in range(2)]
        url = pouch.ends.database_url
        await until_running(url)
        for victim in order_of(rng, {"work": 1, "serve": 1, "postgres": 1}):
            await asyncio.sleep(rng.uniform(1, 4))
            await kill(pouch, victim)
        runs = await ended(url)
        assert len(runs) == len(ids)
        async with connected(url) as db:
            differences = await check_now(db)
            rows = await db.execute("SELECT count(*) FROM ledger_holds WHERE state = 'open'")
            ((open_holds,),) = await rows.fetchall()
        assert differences == []
        assert open_holds == 0
        for run in runs:
            assert run["charged"] == time_cost_nanos(run["billed_s"], HOUR), run
            assert run["billed_s"] * 1_000_000 <= run["ran_us"], run
            # What a living worker saw is at most what went by from the first second to the last sign of life.
            lived_s = (run["seen_at"] - run["began_at"]).total_seconds()
            assert run["billed_s"] <= lived_s + 1, run


async def started(pouch: RunningPouch, key: str, source: str, name: str) -> str:
    """Start a run, as soon as there is a worker."""
    asked = {"agent": "coder", "task": "Make the tests pass.", "repository": source, "model": "pouch/coder"}
    headers = {"authorization": f"Bearer {key}", "idempotency-key": name}
    async with httpx.AsyncClient(base_url=pouch.url, headers=headers, trust_env=False, timeout=30) as client:
        while True:
            answer = await client.post("/api/v1/agent-runs", json=asked)
            if answer.status_code == 201:
                return str(answer.json()["id"])
            assert answer.status_code == 503, answer.text
            await asyncio.sleep(POLL_S)


async def until_running(url: str) -> None:
    async with connected(url) as db:
        while True:
            rows = await db.execute("SELECT count(*) FROM agent_runs WHERE state = 'running'")
            ((running,),) = await rows.fetchall()
            await db.rollback()
            if running == 2:
                return
            await asyncio.sleep(POLL_S)


async def ended(url: str) -> list[dict[str, Any]]:
    """The runs once all of them are over, with what the ledger took for them."""
    async with asyncio.timeout(PAST_LEASE_S):
        while True:
            async with connected(url) as db:
                rows = await db.execute(
                    """
                    SELECT id, state, reason, ran_us, billed_s, seen_at,
                           (SELECT min(began_at) FROM agent_run_spans WHERE run_id = r.id AND state = 'running'),
                           (SELECT coalesce(sum(amount_nanos), 0)::bigint FROM ledger_transfers
                             WHERE kind = 'agents' AND cause = r.id)
                      FROM agent_runs AS r
                    """
                )
                names = ("id", "state", "reason", "ran_us", "billed_s", "seen_at", "began_at", "charged")
                found = [dict(zip(names, row, strict=True)) for row in await rows.fetchall()]
            if all(run["state"] in OVER for run in found):
                assert all(isinstance(run["seen_at"], datetime) for run in found)
                return found
            await asyncio.sleep(1)
