"""What the database says of runs after the storm: each second once, each key dead, each hold gone, no work unsaid."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kills.driven_runs import CALL
from pouch.base.database import Connection
from pouch.catalog.agent_price import time_cost_nanos
from pouch.ledger.check import check_now
from support.sandboxes import git

HOUR = 5_000_000_000
INPUT_NANOS_MAX = 100_000

_RUNS = """
SELECT r.id, r.state, r.reason, r.ran_us, r.billed_s, r.held_to_s, r.last_seq,
       coalesce((SELECT (extract(epoch FROM sum(ended_at - began_at)) * 1000000)::bigint FROM agent_run_spans
                  WHERE run_id = r.id AND state = 'running'), 0) AS running_us,
       (SELECT count(*) FROM agent_run_spans AS a
          JOIN agent_run_spans AS b ON a.run_id = b.run_id AND a.number < b.number
         WHERE a.run_id = r.id AND a.ended_at > b.began_at) AS overlaps,
       (SELECT coalesce(sum(CASE kind WHEN 'agents' THEN amount_nanos ELSE -amount_nanos END), 0)::bigint
          FROM ledger_transfers WHERE kind IN ('agents', 'adjustment') AND cause = r.id) AS charged,
       (SELECT array_agg(ARRAY[from_s, billed_to_s] ORDER BY from_s) FROM agent_run_slices
         WHERE run_id = r.id AND state = 'captured' AND returned_nanos = 0) AS slices,
       (SELECT count(*) FROM agent_run_slices WHERE run_id = r.id AND state = 'open') AS open_slices,
       (SELECT count(*) FROM agent_run_attempts AS a LEFT JOIN identity_keys AS k ON k.id = a.key_id
         LEFT JOIN ledger_blocks AS b ON b.subject = a.key_id
         WHERE a.run_id = r.id AND a.key_id IS NOT NULL
           AND (a.ended_at IS NULL OR k.revoked_at IS NULL OR b.subject IS NULL)) AS live_keys,
       EXISTS (SELECT FROM ledger_blocks WHERE subject = r.id) AS is_blocked,
       EXISTS (SELECT FROM agent_artifacts WHERE run_id = r.id AND kind = 'bundle') AS is_saved,
       EXISTS (SELECT FROM agent_run_events WHERE run_id = r.id AND type = 'notice'
                  AND body->>'code' IN ('worker_lost', 'work_lost')) AS is_said,
       (SELECT count(*) FROM agent_run_events WHERE run_id = r.id) AS events
  FROM agent_runs AS r
"""
_CALLS = """
SELECT count(*), coalesce(sum(u.charged_nanos), 0)::bigint,
       count(*) FILTER (WHERE t.amount_nanos IS DISTINCT FROM u.charged_nanos)
  FROM usage_calls AS u LEFT JOIN ledger_transfers AS t ON t.id = u.id AND t.kind = 'inference'
 WHERE u.outcome <> 'failed' AND u.charged_nanos > 0
"""


_WORK = """
SELECT r.id, r.task,
       (SELECT string_agg(p.body, ''::bytea ORDER BY p.number) FROM agent_artifact_parts AS p
         WHERE p.artifact_id = (SELECT id FROM agent_artifacts WHERE run_id = r.id AND kind = 'bundle'
                                 ORDER BY epoch DESC, created_at DESC LIMIT 1))
  FROM agent_runs AS r
 WHERE NOT EXISTS (SELECT FROM agent_run_events WHERE run_id = r.id AND type = 'notice' AND body->>'code' = 'work_lost')
"""


async def judge_runs(db: Connection, *, answered: int) -> tuple[list[str], dict[str, int]]:
    """What is wrong, in sentences, and how many runs are in which state. `answered`: calls that the model answered."""
    problems = [str(each) for each in await check_now(db)]
    rows = await db.execute(_RUNS.encode())
    assert rows.description is not None
    names = [column.name for column in rows.description]
    states: dict[str, int] = {}
    for row in await rows.fetchall():
        run = dict(zip(names, row, strict=True))
        states[run["state"]] = states.get(run["state"], 0) + 1
        problems += [f"{wrong}: {run}" for wrong in _wrong(run)]
    rows = await db.execute("SELECT count(*) FROM ledger_holds WHERE state = 'open'")
    ((held,),) = await rows.fetchall()
    if held:
        problems.append(f"{held} holds are left")
    rows = await db.execute(_CALLS.encode())
    ((calls, charged, unlike),) = await rows.fetchall()
    if unlike:
        problems.append(f"{unlike} calls cost another amount than the ledger moved")
    if calls > answered:
        problems.append(f"{calls} calls were charged, and the model answered {answered}")
    # A call whose agent died in the middle of the answer costs what was counted until then.
    if not 0 < charged <= calls * (CALL.nanos + INPUT_NANOS_MAX):
        problems.append(f"{calls} calls cost {charged} nano-dollars")
    return problems, states


async def judge_work(db: Connection, source: Path, done: Mapping[str, set[int]]) -> list[str]:
    """Which runs lack work that was done for sure, and say nothing of it. `source`: the repository they cloned."""
    rows = await db.execute(_WORK)
    problems = []
    for run_id, task, bundle in await rows.fetchall():
        kept: set[int] = set()
        if bundle is not None:
            file = source.parent / f"{run_id}.bundle"
            file.write_bytes(bundle)
            git(source, "fetch", "-q", str(file), f"+refs/heads/*:refs/kept/{run_id}/*")
            (ref,) = git(source, "for-each-ref", "--format=%(refname)", f"refs/kept/{run_id}").splitlines()
            kept = {int(line) for line in git(source, "show", f"{ref}:work.txt").splitlines()}
        if gone := done.get(task, set()) - kept:
            problems.append(f"run {run_id} had done {sorted(gone)}, kept {sorted(kept)}, and does not say so")
    return problems


def _wrong(run: dict[str, Any]) -> list[str]:
    end, is_gapless = 0, True
    for from_s, to_s in run["slices"] or []:
        is_gapless &= from_s == end
        end = to_s
    rules = {
        "the charges are not the price of the billed seconds": run["charged"] == time_cost_nanos(run["billed_s"], HOUR),
        "more is billed than ran": run["billed_s"] * 1_000_000 <= run["ran_us"],
        "more ran than it was in the state running": run["ran_us"] <= run["running_us"],
        "it was in two states at once": run["overlaps"] == 0,
        "a second lies in two slices, or in none": is_gapless and end == run["billed_s"],
        "time is still held": run["open_slices"] == 0 and run["held_to_s"] == run["billed_s"],
        "a key is alive": run["live_keys"] == 0,
        "it is over, and not blocked": run["is_blocked"],
        "its events have a gap": run["events"] == run["last_seq"],
        "work is gone, and nobody says so": run["is_saved"] or run["is_said"] or not run["ran_us"],
        "it did not succeed in the end": run["state"] == "succeeded"
        or (run["state"], run["reason"]) == ("failed", "worker_lost"),
    }
    return [rule for rule, holds in rules.items() if not holds]
