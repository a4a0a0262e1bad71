"""Runs, events and bills as programs read them. Amounts are text with all nine decimals."""

from collections.abc import Sequence

from pouch.agents.artifacts import Artifact
from pouch.agents.bill import Bill
from pouch.agents.events import RunEvent
from pouch.agents.types import Run
from pouch.agents.words import duration_words, reason_words, state_tone, state_words
from pouch.base.ids import show_id
from pouch.web.filters import dollars, exact


def run_json(run: Run, bill: Bill | None = None) -> dict[str, object]:
    """A run."""
    shown: dict[str, object] = {
        "id": run.shown_id,
        "number": run.number,
        "state": run.state,
        "reason": run.reason,
        "error_code": run.reason if run.state == "failed" else None,
        "agent": run.kind,
        "title": run.title,
        "task": run.task,
        "model": run.model_id,
        "engine": run.engine,
        "repository": run.repository,
        "branch": run.branch,
        "work_branch": run.work_branch,
        "trigger": run.trigger,
        "retry_of": show_id("run", run.retry_of) if run.retry_of else None,
        "created_at": run.created_at.isoformat(),
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
        "cap_usd": run.cap.decimal(),
        "time_limit_s": run.time_limit_s,
        "price_usd_per_hour": run.price_per_hour.decimal(),
        "ran_s": run.ran_s,
        "time_usd": run.time_cost.decimal(),
        "last_event": run.last_seq,
        "result": dict(run.result),
    }
    return shown if bill is None else shown | {"bill": bill_json(bill)}


def bill_json(bill: Bill) -> dict[str, object]:
    """Why a run cost what it cost."""
    return {
        "total_usd": bill.total.decimal(),
        "time_usd": bill.time.decimal(),
        "time_charged_usd": bill.time_charged.decimal(),
        "models_usd": bill.inference.decimal(),
        "held_usd": bill.held.decimal(),
        "seconds": dict(bill.seconds),
        "slices": [
            {
                "number": each.number,
                "from_s": each.from_s,
                "to_s": each.billed_to_s if each.billed_to_s is not None else each.to_s,
                "state": each.state,
                "held_usd": each.held.decimal(),
                "charged_usd": each.charged.decimal(),
                "returned_usd": each.returned.decimal(),
                "ledger_line": each.line_id,
            }
            for each in bill.slices
        ],
        "models": [
            {
                "model": each.model_id,
                "calls": each.calls,
                "input": each.input,
                "cache_read": each.cache_read,
                "cache_write": each.cache_write,
                "output": each.output,
                "reasoning": each.reasoning,
                "charged_usd": each.charged.decimal(),
            }
            for each in bill.models
        ],
    }


def event_json(event: RunEvent) -> dict[str, object]:
    """An event."""
    return {"seq": event.seq, "at": event.at.isoformat(), "type": event.type, "data": dict(event.body)}


def figures_json(bill: Bill) -> dict[str, object]:
    """How a run stands, for a page that is open: machine-readable, and as the page writes it."""
    run = bill.run
    return {
        "state": run.state,
        "reason": run.reason,
        "ran_s": run.ran_s,
        "total_usd": bill.total.decimal(),
        "shown": {
            "state": state_words(run.state),
            "tone": state_tone(run.state),
            "reason": reason_words(run.reason),
            "total": exact(bill.total),
            "time": exact(bill.time),
            "models": exact(bill.inference),
            "held": dollars(bill.held),
            "ran": duration_words(run.ran_s),
            "rate": f"{dollars(bill.per_hour)} an hour",
        },
    }


def artifacts_json(artifacts: Sequence[Artifact]) -> list[dict[str, object]]:
    """What a run left."""
    return [
        {
            "id": each.shown_id,
            "kind": each.kind,
            "name": each.name,
            "size": each.size,
            "sha256": each.sha256.hex(),
            "created_at": each.created_at.isoformat(),
        }
        for each in artifacts
    ]
