"""From the submission of an agent's run to its first call of a model, and the memory of the native engine."""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from bench.parts import machine
from bench.parts.tables import print_table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from kills.driven_runs import MODEL, Customer, customers, toml
from support.pouch import RunningPouch
from support.sandboxes import GREETING, repository
from support.upstream import Exchange, chunk, fake_upstream, usage, usage_chunk

GOAL_S = 1.0
GOAL_MB = 100
PEAK = "for each in /proc/[0-9]*; do grep -qs native.py $each/cmdline && grep VmHWM $each/status; done"


class Upstream:
    """Writes down when it is called first; then asks for the engine's memory, then ends."""

    def __init__(self) -> None:
        self.called_at = asyncio.Event()
        self.at = 0.0

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one call."""
        done = sum(message.get("role") == "tool" for message in exchange.body["messages"])
        if not done:
            self.at = time.time()
            self.called_at.set()
        command = "submit done" if done else PEAK
        function = {"name": "bash", "arguments": f'{{"command": "{command}"}}'}
        delta: dict[str, object] = {"tool_calls": [{"index": 0, "id": f"call_{done}", "function": function}]}
        events = [chunk(delta), chunk({}, "tool_calls"), usage_chunk(usage(100, 20)), b"[DONE]"]
        await exchange.stream(events)


def main() -> None:
    """Print both; exit 1 when a goal is missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=20)
    given = arguments.parse_args()
    print(f"{machine.description()}; {given.runs} runs, one after the other")
    raise SystemExit(int(not asyncio.run(_measure(given.runs))))


async def _measure(runs: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="pouch-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        source = str(repository(folder / "sample", GREETING))
        async with fake_upstream() as upstream:
            upstream.script = script = Upstream()
            more = f'local_roots = ["{folder}"]'
            with RunningPouch(toml=toml(upstream, more=more), from_nothing=True) as pouch:
                async with customers(pouch, ["alice@example.com"], random.Random(1), usd="20") as (alice,):
                    measured = [await _run(alice, script, source, number) for number in range(runs + 2)][2:]
    return _print(measured)


async def _run(alice: Customer, script: Upstream, source: str, number: int) -> Mapping[str, float]:
    """One run: seconds from the request to each state and to the first call, and the engine's peak in megabytes."""
    script.called_at.clear()
    asked = {"agent": "coder", "task": "Look.", "repository": source, "model": MODEL, "cap_usd": "5"}
    key = {"idempotency-key": f"bench {number}"}
    while True:
        began = time.time()
        answer = await alice.api.post("/api/v1/agent-runs", json=asked, headers=key)
        if answer.status_code == 201:
            break
        await asyncio.sleep(0.2)
    answered = time.time()
    await script.called_at.wait()
    path = f"/api/v1/agent-runs/{answer.json()['id']}"
    events = await _until_over(alice.api, path)
    found = {"answered": answered - began, "first call": script.at - began}
    for event in events:
        if event["type"] == "state" and event["data"]["state"] in {"starting", "running"}:
            found[event["data"]["state"]] = datetime.fromisoformat(event["at"]).timestamp() - began
        if event["type"] == "tool_output" and "VmHWM" in event["data"]["text"]:
            found["peak"] = max(int(line.split()[1]) for line in event["data"]["text"].splitlines()) / 1000
    return found


async def _until_over(api: httpx.AsyncClient, path: str) -> Any:  # noqa: ANN401 -- JSON
    while True:
        found = (await api.get(f"{path}/events")).json()
        if found["is_over"]:
            return found["events"]
        await asyncio.sleep(0.1)


def _print(measured: Sequence[Mapping[str, float]]) -> bool:
    names = ("answered", "starting", "running", "first call")
    rows = []
    for name in names:
        found = sorted(each[name] for each in measured)
        figures = (statistics.median(found), found[int(len(found) * 0.95)], found[-1])
        rows.append((name, *(f"{figure * 1000:,.0f}" for figure in figures)))
    print_table(("ms after the request", "median", "p95", "slowest"), rows)
    first = statistics.median(each["first call"] for each in measured)
    peak = max(each["peak"] for each in measured)
    print(f"memory of the native engine: {peak:.1f} MB at its peak")
    return first < GOAL_S and peak < GOAL_MB


if __name__ == "__main__":
    main()
