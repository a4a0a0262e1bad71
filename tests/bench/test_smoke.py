"""Each bench runs in a tiny form, so that it does not rot. What it measures on a busy machine is not looked at."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def bench(name: str, *arguments: str) -> str:
    """Run a bench to its end: what it printed."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", f"bench.{name}", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_ledger_bench_compares_and_adds_up() -> None:
    told = bench("ledger", "--seconds", "0.2", "--accounts", "3", "--clients", "4", "--rounds", "1")
    assert [line.count("|") for line in told.splitlines() if line.startswith("| 3 |")] == [10, 10]
    assert "Every run ended with exact sums and no open hold." in told


@pytest.mark.timeout(180)
def test_the_gateway_bench_measures_and_adds_up() -> None:
    told = bench("gateway", "--seconds", "0.2", "--connections", "4", "--peers")
    assert "| Pouch |" in told
    assert "nobody refused" in told
    assert "Every run of Pouch ended with exact sums and no open hold." in told
