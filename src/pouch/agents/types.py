"""A run as everybody sees it: what was asked for, where it stands, what it cost."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID

from pouch.agents.engines.types import AgentKind
from pouch.base.ids import derived_id, show_id
from pouch.base.money import Money
from pouch.catalog.agent_price import time_cost_nanos

_WORD = re.compile(r"[a-z0-9]+", re.ASCII)
KINDS: tuple[AgentKind, ...] = get_args(AgentKind)

Trigger = Literal["web", "api", "cli", "schedule", "github", "slack", "linear", "retry"]

RunState = Literal[
    "queued",
    "starting",
    "setup",
    "running",
    "waiting_user",
    "paused",
    "stopping",
    "succeeded",
    "failed",
    "canceled",
    "paused_no_credit",
    "timed_out",
    "interrupted",
]
STATES: tuple[RunState, ...] = get_args(RunState)
AT_WORK: frozenset[RunState] = frozenset({"starting", "setup", "running", "stopping"})
"""A worker does something for it and takes one of the organization's places."""
OVER: frozenset[RunState] = frozenset({"succeeded", "failed", "canceled", "timed_out", "interrupted"})
"""Nothing more happens; the run's key is dead for good."""
RESTING: frozenset[RunState] = frozenset({"waiting_user", "paused", "paused_no_credit"})
"""It waits for a person and costs nothing."""

Wish = Literal["", "pause", "resume", "stop"]

ErrorCode = Literal[
    "",
    "clone_failed",
    "host_unknown",
    "repository_refused",
    "sandbox_failed",
    "sandbox_unsafe",
    "start_timeout",
    "environment_closed",
    "setup_failed",
    "engine_failed",
    "model_gone",
    "step_limit",
    "repeating",
    "save_failed",
    "work_too_large",
    "gateway_away",
    "worker_lost",
    "internal_error",
]
"""Why a run failed, stable for programs. What is not one of these is a reason of another state."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `reason` says why it is in its state: an error code, the budget that was empty, or nothing."""

    id: UUID
    organization_id: UUID
    person_id: UUID
    number: int
    trigger: Trigger
    retry_of: UUID | None
    kind: AgentKind
    title: str
    task: str
    prompt: str
    model_id: str
    engine: str
    repository: str
    branch: str
    environment_id: UUID | None
    price_per_hour: Money
    cap: Money
    time_limit_s: int
    state: RunState
    reason: str
    wish: Wish
    created_at: datetime
    state_since: datetime
    ended_at: datetime | None
    result: Mapping[str, object]
    ran_us: int
    seen_at: datetime | None
    held_to_s: int
    billed_s: int
    last_seq: int
    epoch: int
    lease_until: datetime | None
    key_id: UUID | None = None
    """The API key that started it, whose limit holds for it."""

    @property
    def shown_id(self) -> str:
        """As it stands in addresses and APIs."""
        return show_id("run", self.id)

    @property
    def work_branch(self) -> str:
        """The branch that its work lies on."""
        words = _WORD.findall(self.title.lower())[:4]
        return f"pouch/{self.number}-{'-'.join(words)[:40].strip('-')}".rstrip("-")

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens."""
        return self.state in OVER

    @property
    def is_live(self) -> bool:
        """Whether a worker has it, frozen or not."""
        return self.lease_until is not None

    @property
    def is_unsaved(self) -> bool:
        """Whether its worker was lost and it is settled, but nobody has saved yet what it left."""
        return self.state == "stopping" and self.reason == "worker_lost"

    def is_lost_at(self, at: datetime) -> bool:
        """Whether its worker has been silent for longer than its lease."""
        return self.lease_until is not None and self.lease_until <= at

    @property
    def ran_s(self) -> int:
        """Whole seconds of running time."""
        return self.ran_us // 1_000_000

    @property
    def time_cost(self) -> Money:
        """What its running time has cost so far, to the second; what is not charged yet is held."""
        return Money(time_cost_nanos(self.ran_s, self.price_per_hour.nanos))


def agents_subject(organization_id: UUID) -> UUID:
    """The subject of the ledger that stands for all agents of an organization, whose limit is their daily cap."""
    return derived_id(f"agents:{organization_id}")


def subjects_of(run: Run) -> tuple[UUID, ...]:
    """On whose behalf a run's time is held."""
    return (*counting_subjects(run), run.person_id, run.organization_id)


def counting_subjects(run: Run) -> tuple[UUID, ...]:
    """The subjects that are a run's own: itself, the key that started it, all agents. Its calls count for them, too."""
    own = (run.id,) if run.key_id is None else (run.id, run.key_id)
    return (*own, agents_subject(run.organization_id))
