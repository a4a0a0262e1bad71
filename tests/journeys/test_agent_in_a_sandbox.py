"""A run of the Coder with the test model, on a fresh machine: what it costs, what it leaves, how it is seen."""

import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.pouch import RunningPouch, until
from support.sandboxes import GREETING, git, is_passing, needs_bubblewrap, repository

pytestmark = [needs_bubblewrap, pytest.mark.journey, pytest.mark.timeout(300)]

ALICE, CAROL = "alice@example.com", "carol@example.com"
OVER = {"succeeded", "failed", "canceled", "timed_out", "interrupted"}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("roots")


@pytest.fixture(scope="module")
def pouch(roots: Path) -> Iterator[RunningPouch]:
    with RunningPouch(toml=f'[agents]\nlocal_roots = ["{roots}"]\n[agents.limits]\ndisk_mib = 128\n') as running:
        yield running


def key_of(pouch: RunningPouch, email: str, *, is_operator: bool) -> str:
    words = ["user", "add", email, "--password-stdin", *(["--admin"] if is_operator else [])]
    pouch.does(*words, input="correct horse battery")
    pouch.does("grant", email, "5", "--key", f"first {email}", "--note", "To begin with")
    return pouch.does("key", "add", email, "agents", "--scope", "agents", "--scope", "inference").split()[-1]


def api(pouch: RunningPouch, key: str, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.request(method, f"{pouch.url}/api/v1{path}", headers=headers, trust_env=False, timeout=30, **options)


def test_the_coder_makes_a_real_commit_with_passing_tests_and_its_bill_adds_up(
    pouch: RunningPouch, roots: Path
) -> None:
    source = repository(roots / "greeting", GREETING)
    assert not is_passing(source)
    key = key_of(pouch, ALICE, is_operator=True)
    until(
        lambda: "no_agents_here" not in api(pouch, key, "POST", "/agent-runs", json={"task": ""}).text,
        what="a worker of agents",
    )
    before = pouch.balance(ALICE).available

    asked = {"agent": "coder", "task": "Make the tests pass.", "repository": str(source), "model": "pouch/coder"}
    begun = time.monotonic()
    started = api(pouch, key, "POST", "/agent-runs", json=asked)
    assert started.status_code == 201, started.text
    run_id = started.json()["id"]

    def over() -> dict[str, Any] | None:
        run: dict[str, Any] = api(pouch, key, "GET", f"/agent-runs/{run_id}").json()
        return run if run["state"] in OVER else None

    run = until(over, what="the run to end", timeout_s=120, log=pouch.log)
    events = api(pouch, key, "GET", f"/agent-runs/{run_id}/events").json()["events"]
    assert run["state"] == "succeeded", (run, events)
    asked_at = datetime.fromisoformat(run["created_at"])
    first_turn = next(datetime.fromisoformat(event["at"]) for event in events if event["type"] == "usage")
    print(f"from the start to the first turn of the model: {(first_turn - asked_at).total_seconds():.2f} s")
    print(f"from the start to the end: {time.monotonic() - begun:.1f} s, of which {run['ran_s']} s ran")

    assert [commit["subject"] for commit in run["result"]["commits"]] == ["Print a greeting"]
    assert [file["path"] for file in run["result"]["files"]] == ["hello.py"]
    bundle = next(
        each
        for each in api(pouch, key, "GET", f"/agent-runs/{run_id}/artifacts").json()["artifacts"]
        if each["kind"] == "bundle"
    )
    file = roots / "run.bundle"
    file.write_bytes(api(pouch, key, "GET", f"/agent-runs/{run_id}/artifacts/{bundle['id']}").content)
    branch = run["result"]["branch"]
    git(source, "fetch", "-q", str(file), f"{branch}:{branch}")
    assert git(source, "rev-parse", branch) == run["result"]["head_sha"]
    git(source, "checkout", "-q", branch)
    assert is_passing(source)

    # Five turns of the test model, by the word, and running time by the second.
    usages = [event["data"] for event in events if event["type"] == "usage"]
    assert len(usages) == 5, events
    tokens = sum(Decimal(each["prompt_tokens"]) + 2 * Decimal(each["completion_tokens"]) for each in usages)
    bill = run["bill"]
    assert Decimal(bill["models_usd"]) == tokens / 1_000_000
    spent = before - pouch.settled_balance(ALICE).available
    assert spent == Decimal(bill["total_usd"]) == Decimal(bill["models_usd"]) + Decimal(bill["time_usd"])
    assert "agent-run-secret" not in str(events)


def test_a_message_from_the_terminal_lets_a_finished_run_go_on(pouch: RunningPouch) -> None:
    """The run of the test before: the same number and branch, more seconds, one more answer of the model."""
    key = pouch.does("key", "add", ALICE, "follow-up", "--scope", "agents", "--scope", "inference").split()[-1]
    (before,) = api(pouch, key, "GET", "/agent-runs").json()["runs"]
    assert before["state"] == "succeeded"
    assert "is queued" in pouch.does("agent", "say", ALICE, "1", "Look at it once more.")

    def over() -> dict[str, Any] | None:
        run: dict[str, Any] = api(pouch, key, "GET", f"/agent-runs/{before['id']}").json()
        return run if run["state"] in OVER else None

    after = until(over, what="the run to end again", timeout_s=120, log=pouch.log)
    assert after["state"] == "succeeded", after
    assert after["result"]["branch"] == before["result"]["branch"]
    assert after["result"]["commits"][0] == before["result"]["commits"][0]
    assert after["ran_s"] >= before["ran_s"]
    refused = pouch.cli("agent", "say", ALICE, "99", "Hello?")
    assert refused.returncode == 1
    assert "no run 99" in refused.stdout + refused.stderr


def test_only_the_operator_may_name_a_folder(pouch: RunningPouch, roots: Path) -> None:
    repository(roots / "private", GREETING)
    key = key_of(pouch, CAROL, is_operator=False)
    answer = api(pouch, key, "POST", "/agent-runs", json={"task": "Look", "repository": str(roots / "private")})
    assert answer.status_code == 400
    assert "operator" in answer.text


def test_a_machine_says_what_it_can_do(pouch: RunningPouch) -> None:
    done = pouch.cli("sandbox", "probe", "--json")
    assert shutil.which("bwrap") is not None
    assert '"backend": "bubblewrap"' in done.stdout
