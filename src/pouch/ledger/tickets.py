"""One operation on its way through the writer, and whoever waits for its answer."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from pouch.ledger.errors import LedgerBusy
from pouch.ledger.operations import Answer, Capture, Expire, Hold, Operation, Refused, Release


@dataclass(slots=True)
class Ticket:
    """An operation, the future of its answer, and for a hold how long its caller waits."""

    operation: Operation
    answer: asyncio.Future[Answer]
    patient_until: float = 0.0
    """When the caller of a hold has waited long enough, by the loop's clock."""
    refused: Refused | None = None
    """Why a hold waits in line."""
    in_line_since: float = 0.0
    """When it first had to wait there."""
    is_given_up: bool = False
    """The caller of a hold was told that it took too long."""

    @property
    def is_withdrawn(self) -> bool:
        """Whether the caller of a hold is gone; if it is admitted all the same, it is given back.

        Whoever stops waiting cancels the answer in that moment, so there is none in which both sides look away. Other
        operations happen whether or not anybody waits.
        """
        return self.is_given_up or (self.answer.cancelled() and isinstance(self.operation, Hold))

    @property
    def hold(self) -> Hold | None:
        """The operation, if it is a hold."""
        return self.operation if isinstance(self.operation, Hold) else None

    @property
    def may_stand_in_line(self) -> bool:
        """Whether it is a hold that waits, and somebody still wants it."""
        return isinstance(self.operation, Hold) and self.operation.waits and not self.is_withdrawn

    def wait_in_line(self, refused: Refused, now: float, patience_s: float) -> None:
        """Stand in line, counted from the first time: what is waited for may change, the wait does not begin again."""
        if self.refused is None:
            self.in_line_since = now
        self.refused = refused
        self.patient_until = self.in_line_since + patience_s

    def settle(self, answer: Answer) -> None:
        """Give the caller the answer, if somebody still waits for it."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """Tell the caller that the operation could not be posted."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def give_up(self) -> None:
        """Tell the caller of a hold that it took too long: refused if it waits in line, else LedgerBusy."""
        self.is_given_up = True
        if self.refused is not None:
            self.settle(self.refused)
        else:
            self.fail(LedgerBusy())

    def freed(self) -> tuple[UUID, ...]:
        """The budgets that this operation may have made room in."""
        if isinstance(self.operation, Capture | Release | Expire):
            hold = self.operation.hold
            return (*hold.subjects, hold.organization_id)
        return ()
