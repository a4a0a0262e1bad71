"""What is remembered of a call."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pouch.base.money import Money
from pouch.catalog.types import Counts

Outcome = Literal["done", "client_gone", "cut", "failed"]
"""done: answered in full. client_gone: the caller left. cut: the upstream broke off after a part.
failed: no answer, no charge."""


@dataclass(frozen=True, slots=True)
class Call:
    """One finished call of a model. `id` is the generation id, the hold's id and the charge's id."""

    id: UUID
    organization_id: UUID
    person_id: UUID
    key_id: UUID
    model_id: str
    upstream_id: str
    price_id: UUID | None
    counts: Counts
    cost_nanos: int
    held_nanos: int
    is_estimated: bool
    is_streamed: bool
    outcome: Outcome
    started_at: datetime
    finished_at: datetime
    charged_nanos: int = 0
    """What the customer paid: the cost, less what the operator bore."""
    app: str = ""
    """The program that called, such as "Roo Code 3.52.1"; empty where it did not say."""
    task_id: str = ""
    """The task of an agent that it was a part of; empty where it was none."""

    @property
    def charged(self) -> Money:
        """The same as money."""
        return Money(self.charged_nanos)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which calls are meant: those of one model, of one key, of one task, of several of these, or all."""

    model_id: str | None = None
    key_id: UUID | None = None
    task_id: str | None = None


EVERY_CALL = Filter()
