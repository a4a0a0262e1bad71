"""How long holds wait. One timer looks after all of them: one for each would cost more than judging the hold."""

import asyncio

from pouch.ledger.tickets import Ticket

LOOK_EVERY_S = 0.1
"""How much longer than its patience a hold may wait."""


class Patience:
    """Tells the callers of holds that were not answered in time."""

    def __init__(self) -> None:
        self._tickets: list[Ticket] = []
        self._timer: asyncio.TimerHandle | None = None

    def look_after(self, ticket: Ticket) -> None:
        """Give the ticket up once `patient_until` has passed, unless it is answered before."""
        self._tickets.append(ticket)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._tickets = [ticket for ticket in self._tickets if not ticket.answer.done()]
        for ticket in self._tickets:
            if ticket.patient_until <= now:
                ticket.give_up()
        self._timer = loop.call_later(LOOK_EVERY_S, self._look) if self._tickets else None
