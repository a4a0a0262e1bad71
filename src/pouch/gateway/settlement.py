"""One call's money: a hold, then exactly one of charge or release.

Rule. The price at admission bills the call. What the upstream says it used is billed, unless it is missing or cannot be
true (a count beyond twice the bound and 10,000 tokens more): then the text is counted, four bytes to a token, rounded
down, and the charge is marked estimated. An estimate is never above the hold. A caller who leaves pays for the input
and for the output produced until then. A call that failed before any output is not charged (docs/faults.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

import structlog

from pouch.base.clock import Clock
from pouch.base.ids import new_id
from pouch.catalog.cost import cost_nanos
from pouch.catalog.counts import counts_from_openai
from pouch.catalog.errors import UnpricedUsage, UnusableUsage
from pouch.catalog.types import Counts
from pouch.gateway.affordable import Lowered, lowered
from pouch.gateway.origin import NOWHERE, Origin
from pouch.gateway.request import ChatRequest
from pouch.identity.types import Caller
from pouch.ledger.operations import Admitted, Capture, Captured, Hold, Refused, Release
from pouch.usage.types import Call, Outcome

BYTES_PER_TOKEN = 4
ABSURD_FACTOR = 2
ABSURD_TOKENS = 10_000

log = structlog.get_logger()


class Ledger(Protocol):
    """What a call needs of the ledger's writer."""

    async def hold(self, hold: Hold) -> Admitted | Refused:
        """Set credits aside, durably."""
        ...

    async def capture(self, capture: Capture) -> Captured:
        """Charge a hold, durably."""
        ...

    def release(self, release: Release) -> object:
        """Give a hold back, whether or not anybody waits."""
        ...

    def record(self, record: object) -> None:
        """Write a call that moves no money."""
        ...


@dataclass(slots=True)
class Settlement:
    """The money side of one call. `id` is the generation id that the caller is told."""

    ledger: Ledger
    caller: Caller
    request: ChatRequest
    lease_id: UUID
    clock: Clock
    started_at: datetime
    origin: Origin = NOWHERE
    id: UUID = field(default_factory=new_id)
    task_subject: UUID | None = None
    """Whose limit counts, too: that of the task which the call is a part of."""
    hold: Hold | None = None
    lowered: Lowered | None = None
    """That the call was made smaller, to fit what there is."""
    is_asked: bool = False
    """The upstream was called; from here on the call leaves a record."""
    is_settled: bool = False
    """The charge or release is on its way; nothing may settle this call a second time."""

    @property
    def is_free(self) -> bool:
        """Whether no money is involved."""
        return self.request.model.is_free

    async def place_hold(self, *, waits: bool = True) -> Refused | None:
        """Set the worst case aside. None when admitted. Free models hold nothing."""
        if self.is_free:
            return None
        caller = self.caller
        subjects: tuple[UUID, ...] = (*caller.counts_for, caller.key_id, caller.person_id, caller.organization_id)
        if self.task_subject is not None:
            subjects = (self.task_subject, *subjects)
        # A price of zero for this call still needs a row to hang the charge on.
        most = max(1, self.request.worst_case_nanos)
        hold = Hold(self.id, caller.organization_id, most, subjects, self.lease_id, waits)
        answer = await self.ledger.hold(hold)
        if isinstance(answer, Refused):
            return answer
        self.hold = hold
        return None

    def lower(self, refused: Refused) -> bool:
        """Make the call small enough for the budget that refused it; whether that could be done, see `affordable`."""
        if refused.source in {"blocked", "debt"}:
            return False
        request = lowered(self.request, refused.available_nanos)
        if request is None:
            return False
        asked = self.lowered.asked if self.lowered is not None else self.request.output.each
        self.request, self.lowered = request, Lowered(asked, request.output.each, refused.source)
        return True

    def judge_usage(self, usage: Mapping[str, object] | None, output_bytes: int) -> tuple[Counts, int, bool]:
        """What the call is billed for, what that costs, and whether it is an estimate."""
        upstream, price = self.request.model.upstream.id, self.request.model.price
        if usage is not None:
            try:
                counts = counts_from_openai(usage)
                cost = cost_nanos(price, counts)
            except (UnusableUsage, UnpricedUsage) as error:
                log.warning(
                    "usage cannot be billed, estimating",
                    upstream=upstream,
                    why=type(error).__name__,
                )
            else:
                if not self._is_absurd(counts):
                    return counts, cost, False
                log.error("usage is beyond what the call can have used, estimating", upstream=upstream)
        bound = self.request.bound
        counts = Counts(input=bound.text_bytes // BYTES_PER_TOKEN, output=output_bytes // BYTES_PER_TOKEN)
        return counts, cost_nanos(price, counts), True

    def _is_absurd(self, counts: Counts) -> bool:
        request = self.request
        return (
            counts.input_total > ABSURD_FACTOR * request.bound.tokens_max + ABSURD_TOKENS
            or counts.output_total > ABSURD_FACTOR * request.output_max + ABSURD_TOKENS
        )

    async def charge(self, usage: Mapping[str, object] | None, output_bytes: int, outcome: Outcome) -> "Charged":
        """Charge the call, once; the answer is durable. See the rule above."""
        counts, cost, is_estimated = self.judge_usage(usage, output_bytes)
        if is_estimated and self.hold is not None:
            cost = min(cost, self.hold.amount_nanos)
        record = self._record(counts, cost, is_estimated=is_estimated, outcome=outcome)
        self.is_settled = True
        if self.hold is None:
            self.ledger.record(record)
            return Charged(counts, 0, is_estimated, None)
        captured = await self.ledger.capture(Capture(self.hold, cost, record=record))
        if captured.overrun_nanos:
            log.error(
                "call cost more than could be charged; the operator bears the rest",
                generation=str(self.id),
                upstream=self.request.model.upstream.id,
                overrun_nanos=captured.overrun_nanos,
            )
        return Charged(counts, captured.charged_nanos, is_estimated, self.lowered)

    def release(self) -> None:
        """The call failed before anything was sent: give the hold back and charge nothing."""
        if self.is_settled:
            return
        self.is_settled = True
        record = self._record(Counts(), 0, is_estimated=False, outcome="failed") if self.is_asked else None
        if self.hold is not None:
            self.ledger.release(Release(self.hold, record=record))
        elif record is not None:
            self.ledger.record(record)

    def _record(self, counts: Counts, cost: int, *, is_estimated: bool, outcome: Outcome) -> Call:
        model, caller = self.request.model, self.caller
        return Call(
            id=self.id,
            organization_id=caller.organization_id,
            person_id=caller.person_id,
            key_id=caller.key_id,
            model_id=model.id,
            upstream_id=model.upstream.id,
            price_id=model.price.id if model.price is not None else None,
            counts=counts,
            cost_nanos=cost,
            held_nanos=self.hold.amount_nanos if self.hold is not None else 0,
            is_estimated=is_estimated,
            is_streamed=self.request.is_stream,
            outcome=outcome,
            started_at=self.started_at,
            finished_at=self.clock(),
            app=self.origin.app,
            task_id=self.origin.task_id,
        )


@dataclass(frozen=True, slots=True)
class Charged:
    """What a finished call was billed."""

    counts: Counts
    charged_nanos: int
    is_estimated: bool
    lowered: Lowered | None
