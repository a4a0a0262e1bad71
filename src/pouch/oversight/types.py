"""Operators, what they did and what they asked each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pouch.base.ids import show_id
from pouch.base.money import ZERO, Money

RequestKind = Literal["grant", "vouchers", "refund"]
RequestState = Literal["waiting", "allowed", "done", "refused", "withdrawn", "over"]
"""over: nobody decided in time, or what was allowed was not done in time."""
ActKind = Literal[
    "grant",
    "grant_revoked",
    "vouchers",
    "vouchers_voided",
    "refund",
    "asked",
    "allowed",
    "refused",
    "withdrawn",
    "journal",
]


@dataclass(frozen=True, slots=True)
class Operator:
    """Who acts."""

    person_id: UUID
    email: str


@dataclass(frozen=True, slots=True)
class Act:
    """One thing to be written down. `key` names the form that caused it: it is one act however often it comes."""

    key: str
    kind: ActKind
    text: str
    amount: Money = ZERO
    """What it may move, at most."""
    request_id: UUID | None = None
    """The request by which another operator allowed it."""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """An act as the log shows it."""

    seq: int
    at: datetime
    email: str
    kind: ActKind
    text: str
    amount: Money
    request_id: UUID | None
    path: str


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked for. `attempt` was minted by the page: a form that is sent twice is one request."""

    attempt: str
    kind: RequestKind
    amount: Money
    summary: str
    wish: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Request:
    """What an operator asked for, and what another one said."""

    id: UUID
    kind: RequestKind
    amount: Money
    summary: str
    wish: Mapping[str, object]
    state: RequestState
    asked_by: UUID
    asked_email: str
    asked_at: datetime
    expires_at: datetime
    decided_email: str | None
    decided_at: datetime | None

    @property
    def shown_id(self) -> str:
        """The id as people and links see it."""
        return show_id("ask", self.id)
