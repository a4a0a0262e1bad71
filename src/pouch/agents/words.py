"""What the states, reasons and kinds of runs are called wherever people read them."""

from typing import Literal, TypeAlias

from pouch.agents.engines.types import AgentKind
from pouch.agents.types import Run, RunState

Tone: TypeAlias = Literal["", "good", "live", "held", "bad"]

_STATES: dict[RunState, tuple[str, Tone]] = {
    "queued": ("Waiting in line", ""),
    "starting": ("Preparing", "live"),
    "setup": ("Setting up", "live"),
    "running": ("Running", "live"),
    "waiting_user": ("Waiting for you", "held"),
    "paused": ("Paused", "held"),
    "stopping": ("Saving", "live"),
    "succeeded": ("Done", "good"),
    "failed": ("Failed", "bad"),
    "canceled": ("Stopped by you", ""),
    "paused_no_credit": ("Paused for credit", "held"),
    "timed_out": ("Time was up", "bad"),
    "interrupted": ("Interrupted", "bad"),
}

_REASONS: dict[str, str] = {
    "": "",
    "asked": "",
    "stopped": "",
    "asks": "",
    "no_answer": "Nobody answered its question",
    "clone_failed": "The repository could not be fetched",
    "host_unknown": "The key of its host is not confirmed yet",
    "repository_refused": "This repository may not be cloned",
    "sandbox_failed": "The sandbox did not start",
    "sandbox_unsafe": "No machine here can keep an agent apart",
    "start_timeout": "The sandbox did not start in time",
    "environment_closed": "Its secrets cannot be opened with this Pouch's secret key; set them again",
    "setup_failed": "A set-up command failed",
    "engine_failed": "The agent broke off",
    "model_gone": "The model is not offered any more",
    "step_limit": "It took as many steps as it may",
    "repeating": "It repeated itself and was stopped",
    "save_failed": "The work could not be saved; the operator has it",
    "work_too_large": "The work is larger than is kept here; the operator has it",
    "gateway_away": "The models could not be reached for a while; the fault is ours",
    "worker_lost": "The machine that ran it was lost",
    "internal_error": "Something broke here; the fault is ours",
    "time_limit": "It ran as long as it may",
    "credits": "Your credits ran out",
    "run_limit": "It cost as much as it may",
    "organization_limit": "The limit of this organization was reached",
    "member_limit": "Your limit in this organization was reached",
    "key_limit": "A limit was reached",
    "debt": "Something is owed from a refund or dispute",
    "blocked": "This account may not spend any more",
}

KIND_WORDS: dict[AgentKind, str] = {
    "planner": "Planner",
    "explainer": "Explainer",
    "reviewer": "Reviewer",
    "coder": "Coder",
    "fixer": "Fixer",
}
KIND_HINTS: dict[AgentKind, str] = {
    "planner": "Reads the code and writes a plan. Changes nothing.",
    "explainer": "Reads the code and answers a question about it. Changes nothing.",
    "reviewer": "Reads a change and says what it would not merge. Changes nothing.",
    "coder": "Writes code and tests on a branch of its own.",
    "fixer": "Takes review comments or a failing test and mends the branch.",
}


def state_words(state: RunState) -> str:
    """A state in words."""
    return _STATES[state][0]


def state_tone(state: RunState) -> Tone:
    """The colour of its mark; the words say it as well."""
    return _STATES[state][1]


def reason_words(reason: str) -> str:
    """Why, in words; nothing where the state says it."""
    return _REASONS.get(reason, reason.replace("_", " "))


def duration_words(seconds: int) -> str:
    """So long, such as "14 min 24 s"."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def why_words(run: Run) -> str:
    """Why a run is where it is."""
    return reason_words(run.reason)
