"""Holds that would fit once others are settled: they wait in the order they came, per budget."""

from collections import deque
from collections.abc import Iterable
from uuid import UUID

from pouch.ledger.tickets import Ticket


class Waiting:
    """The waiting lines of one process: one per organization's credits or limit's subject."""

    def __init__(self) -> None:
        self._lines: dict[UUID, deque[Ticket]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def line_for(self, ticket: Ticket) -> UUID | None:
        """The line that a newly arrived hold must join, because others wait for one of its budgets already."""
        if not self._lines:
            return None
        hold = ticket.hold
        if hold is None or not hold.waits:
            return None
        return next((budget for budget in (*hold.subjects, hold.organization_id) if budget in self._lines), None)

    def join(self, budget: UUID, ticket: Ticket) -> None:
        """Stand at the end of the line of a budget."""
        self._lines.setdefault(budget, deque()).append(ticket)

    def take(self, budgets: Iterable[UUID]) -> list[Ticket]:
        """Everyone who waits for one of the budgets, in their order, out of the line: they are judged again."""
        return [ticket for budget in budgets for ticket in self._lines.pop(budget, ()) if not ticket.is_withdrawn]

    def take_all(self) -> list[Ticket]:
        """Everyone who waits."""
        return self.take(list(self._lines))
